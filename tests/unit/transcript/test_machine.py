"""Which models are tried, by device and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.transcript import machine


@pytest.fixture(autouse=True)
def _a_hub_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.weights.has_whisper_base", lambda: False)


def test_auto_follows_device_and_memory(tmp_path: Path) -> None:
    base = ("base", "whisper-base", "float16")

    def gpu(gib: float | None) -> list[tuple[str, str, str]]:
        return machine.models("auto", tmp_path, gpu_gib=gib)["cuda"]

    turbo = ("large-v3-turbo", "whisper-large-v3-turbo")
    assert gpu(80.0) == gpu(None) == [(*turbo, "float16"), base]
    assert gpu(6.0) == [(*turbo, "int8_float16"), base]
    assert gpu(2.0) == [base]
    assert machine.models("auto", tmp_path)["cpu"] == [("base", "whisper-base", "int8")]
    assert machine.models("auto", tmp_path, memory_gib=0.8)["cpu"][0] == ("tiny", "whisper-tiny", "int8")


def test_what_somebody_set_is_tried_alone(tmp_path: Path) -> None:
    assert machine.models("medium", tmp_path, "bfloat16")["cuda"] == [("medium", "whisper-medium", "bfloat16")]
    assert machine.models("small", tmp_path)["cpu"] == [("small", "whisper-small", "int8")]
    folder = tmp_path / "mine"
    folder.mkdir()
    assert machine.models(str(folder), tmp_path)["cpu"] == [(str(folder), "mine", "int8")]


def test_a_machine_has_cores_and_memory() -> None:
    assert machine.cores() >= 1
    assert machine.memory_limit() > 100_000_000
