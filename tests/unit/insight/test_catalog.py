"""The catalogue holds together, says where its figures are from, and recommends what fits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.cli import llm as cli
from pipeline.cli.main import run
from pipeline.errors import NotFoundError
from pipeline.insight import catalog, gpus
from pipeline.insight.catalog import Gpu, fitting, gpus_for, model, models, on_cpu, sglang_command
from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang

H200, L4 = Gpu("H200", 140.4), Gpu("L4", 22.5)


def test_every_entry_is_a_sparse_model_with_sources() -> None:
    assert len(models()) >= 10
    assert [m.total_b for m in models()] == sorted(m.total_b for m in models())
    for m in models():
        assert 0 < m.active_b < m.total_b / 2 and m.context >= 4096 and m.licence and m.precisions
        assert m.thinking in catalog.THINKING
        assert {"parameters", "context", "licence"} <= set(m.sources)
        assert all(source.startswith("https://") for source in m.sources.values())
        for p in m.precisions:
            # Between three and sixteen bits a parameter.
            assert 0.37 * m.total_b < p.weights_gib * 2**30 / 1e9 < 2.1 * m.total_b
            assert p.weights_gib < p.needed_gib


def test_what_fits() -> None:
    assert fitting([]) == []
    small, large, many = fitting([L4]), fitting([H200]), fitting([H200] * 8)
    assert small and all(c.precision.needed_gib <= L4.memory_gib and c.gpus == 1 for c in small)
    assert [c.model.thinking for c in small] == sorted((c.model.thinking for c in small), key=lambda t: t == "always")
    names = [c.model.name for c in large]
    assert len(set(names)) == len(names) and large[0].model.total_b > small[0].model.total_b
    assert many[0].model.total_b == max(m.total_b for m in models()) and many[0].gpus == 8
    # The highest precision that fits is taken, though the lower one would need fewer GPUs.
    air = next(c for c in many if c.model.name.endswith("GLM-4.5-Air"))
    assert (air.precision.name, air.gpus) == ("bf16", 2)


def test_gpus_are_counted_in_powers_of_two_by_the_smallest() -> None:
    (p,) = model("mixtral-8x22b-instruct-v0.1").precisions
    assert gpus_for(p, [H200] * 3) == 0 and gpus_for(p, [H200] * 4) == 4
    assert gpus_for(p, [H200] * 3 + [L4]) == 0


def test_the_command() -> None:
    choice = next(c for c in fitting([H200] * 8) if c.model.name.endswith("V3.1"))
    command = sglang_command(choice, python="py", host="127.0.0.1", port=30000)
    assert command[:5] == ["py", "-m", "sglang.launch_server", "--model-path", "deepseek-ai/DeepSeek-V3.1"]
    assert "--enable-cache-report" in command and command[command.index("--tp") + 1] == "8"
    small = next(c for c in fitting([L4]) if c.model.context == 4096)
    command = sglang_command(small, python="py", host="127.0.0.1", port=1, context=100_000)
    assert command[command.index("--context-length") + 1] == "4096" and "--tp" not in command
    with pytest.raises(NotFoundError):
        model("no-such-model")


def test_what_nvidia_smi_says() -> None:
    assert gpus.read_smi("NVIDIA H200, 143771\nNVIDIA L4, 23034\n") == [
        Gpu("NVIDIA H200", 140.4),
        Gpu("NVIDIA L4", 22.5),
    ]
    assert gpus.read_smi("No devices were found\nX, [N/A]\n, 5\n") == []


def call(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = run(["llm", *argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.loads(call(capsys, "models", "--json")[1])
    assert {row["model"] for row in listed} == {m.name for m in models()} and listed[0]["sources"]
    monkeypatch.setattr(cli, "gpus", list)
    assert call(capsys, "recommend")[0] == 1
    code, _, err = call(capsys, "serve")
    assert code == 2 and "fits this machine" in err and "--gguf" in err
    assert call(capsys, "serve", "--model", "GLM-4.5-Air")[0] == 2
    code, out, _ = call(capsys, "serve", "--model", "GLM-4.5-Air", "--print")
    assert code == 0 and "zai-org/GLM-4.5-Air-FP8" in out
    assert call(capsys, "serve", "--model", "GLM-4.5-Air", "--precision", "int3", "--print")[0] == 2
    assert call(capsys, "serve", "--model", "nothing", "--print")[0] == 3
    monkeypatch.setattr(cli, "gpus", lambda: [H200])
    code, out, _ = call(capsys, "recommend", "--json")
    fit = json.loads(out)["fit"]
    assert code == 0 and all(row["needed_gib"] <= 140.4 for row in fit)
    code, _, err = call(capsys, "serve", "--python", "/no/such/python")
    assert code == 4 and fit[0]["repository"] in err
    started: list[Any] = []
    monkeypatch.setattr("os.execv", lambda program, command: started.append((program, command)))
    assert call(capsys, "serve", "--python", "python3")[0] == 0
    assert started[0][1][1:3] == ["-m", "sglang.launch_server"]


def test_on_a_cpu_what_fits_and_is_quick_comes_first() -> None:
    names = [m.name for m, _ in on_cpu(24 * 2**30)]
    assert names == ["Qwen/Qwen3-30B-A3B-Instruct-2507"]
    more = on_cpu(256 * 2**30)
    assert [m.active_b for m, _ in more] == sorted(m.active_b for m, _ in more) and len(more) > len(names)
    assert all(m.gguf and m.thinking != "always" and gib < 256 for m, gib in more) and on_cpu(2**30) == []


def test_bench_measures_the_served_model(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def lean(prompt: str) -> float:
        return 3.0 if int(prompt.split("Is ")[1].split()[0]) % 2 == 0 else -3.0

    with FakeSglang(Says('{"words": ["leek"]}', lean)) as server:
        monkeypatch.setenv("PODSIFT_LLM_URL", server.url)
        code, out, _ = call(capsys, "bench", "--prompts", "20", "--json")
    said = json.loads(out)
    assert code == 0 and said["right"] == "20 of 20" and said["model"] == "smol-moe"
    assert said["cached_share"] > 0.8 and said["questions_a_second"] > 0 and said["tokens_written_a_second"] > 0
