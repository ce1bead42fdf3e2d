"""docker-compose.yml and .env.example against the code: commands that exist, settings that are read, no open doors."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pipeline import __version__
from pipeline.cli.main import podsift
from pipeline.cli.worker import QUEUES
from pipeline.insight.catalog import Choice, models, sglang_command
from pipeline.settings import keys, load

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
pytestmark = pytest.mark.skipif(not COMPOSE.exists(), reason="only in a checkout")

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
ONE_SHOT = {"migrate"}
STANDS_ALONE = {"llama"}
"""Ours, and without the database."""
AS_ROOT = {"sglang"}
"""The image keeps compiled kernels in root's home; it gets no capability."""


def example() -> dict[str, str]:
    lines = (line.split("=", 1) for line in EXAMPLE.read_text("utf-8").splitlines() if line and line[0] != "#")
    return dict(lines)


def services(env: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """The services with variables filled in: `${NAME:-default}` takes the default when NAME is unset or empty."""
    given = env or {}

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(lambda m: given.get(m[1]) or m[2] or "", value)
        if isinstance(value, dict):
            return {k: filled(v) for k, v in value.items()}
        return [filled(v) for v in value] if isinstance(value, list) else value

    found: dict[str, dict[str, Any]] = filled(yaml.safe_load(COMPOSE.read_text("utf-8"))["services"])
    return found


def ours() -> dict[str, dict[str, Any]]:
    return {n: s for n, s in services().items() if s["image"].startswith("podsift:") and "entrypoint" not in s}


def parse(argv: list[str]) -> None:
    """Raises click.UsageError for a command, option or value that does not exist. Runs nothing."""
    group: click.Command = podsift
    context: click.Context | None = None
    name = "podsift"
    while isinstance(group, click.Group):
        context = group.make_context(name, list(argv), parent=context)
        left = [*context._protected_args, *context.args]
        found, command, argv = group.resolve_command(context, left)
        assert command is not None
        group, name = command, found or name
    group.make_context(name, list(argv), parent=context).close()


def test_each_command_and_its_arguments_exist() -> None:
    for service in ours().values():
        parse(service["command"])
        if not service["healthcheck"].get("disable"):
            kind, program, *argv = service["healthcheck"]["test"]
            assert (kind, program) == ("CMD", "podsift")
            parse(argv)
    with pytest.raises(click.UsageError):
        parse(["worker", "--queue", "tea"])
    with pytest.raises(click.UsageError):
        parse(["tea"])


def test_every_queue_is_worked_on_without_a_profile() -> None:
    taken: set[str] = set()
    for service in ours().values():
        argv = service["command"]
        if argv[0] == "worker" and "profiles" not in service:
            taken |= {argv[i + 1] for i, a in enumerate(argv) if a == "--queue"}
    assert taken == set(QUEUES)


def test_every_setting_named_is_a_setting() -> None:
    known = keys()
    named = set(re.findall(r"PODSIFT_[A-Z0-9_]+", COMPOSE.read_text("utf-8") + EXAMPLE.read_text("utf-8")))
    assert {n for n in named if n not in known and n.removesuffix("_FILE") not in known} == set()


def test_the_example_has_every_variable_once_and_explained() -> None:
    used = {m[1] for m in _VARIABLE.finditer(COMPOSE.read_text("utf-8"))}
    assert set(example()) - {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"} == used
    before = ""
    names = []
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            names.append(line.split("=")[0])
            assert before.startswith("# ") and not before.startswith("# ---"), f"{line} is not explained"
        before = line
    assert len(names) == len(set(names))


def test_the_environment_of_each_part_is_accepted(tmp_path: Path) -> None:
    for name in ("secret_key", "smtp_password", "operator_token"):
        (tmp_path / name).write_text("")
    (tmp_path / "database_url").write_text("postgresql://podsift:x@postgres/podsift\n")
    dev = {"PODSIFT_SMTP_HOST": "mail", "PODSIFT_SMTP_PORT": "8025", "PODSIFT_LLM_URL": "http://sglang:30000"}
    for env in (example(), example() | dev):
        for name, service in services(env).items():
            if name not in ours() or name in STANDS_ALONE:
                continue
            environ = {k: v.replace("/run/secrets", str(tmp_path)) for k, v in service["environment"].items()}
            settings = load(environ=environ | {"PODSIFT_DATA_DIR": str(tmp_path)})
            assert settings.on_postgres and settings.smtp.port == (8025 if env.get("PODSIFT_SMTP_PORT") else 587)


def test_secrets_are_files() -> None:
    declared: dict[str, dict[str, str]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["secrets"]
    assert {n: s["file"] for n, s in declared.items()} == {n: f"./secrets/{n}" for n in declared}
    used: set[str] = set()
    for name, service in services().items():
        given = set(service.get("secrets", []))
        used |= given
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|API_KEY|DATABASE_URL", variable):
                assert variable.endswith(("_FILE", "_PATH")), f"{name} has {variable} in its environment"
                assert value.removeprefix("/run/secrets/") in given
    assert used == set(declared)
    assert not any(re.search(r"PASSWORD|SECRET|TOKEN|API_KEY|DATABASE_URL", n) for n in example())
    assert {"/.env", "/secrets/"} <= set((ROOT / ".gitignore").read_text("utf-8").split())


def test_images_are_pinned() -> None:
    for name, service in services().items():
        tag = service["image"].partition(":")[2]
        assert re.search(r"\d+\.\d+\.\d+", tag), f"{name}: {service['image']}"
    images = {re.sub("-(gpu|llama)$", "", s["image"]) for s in ours().values()}
    assert images == {f"podsift:{__version__}"}
    assert example()["IMAGE_TAG"] == __version__


def test_one_sglang_everywhere() -> None:
    version = services()["sglang"]["image"].partition(":v")[2]
    assert f'sglang = ["sglang=={version}"]' in (ROOT / "pyproject.toml").read_text("utf-8")
    for name in ("sglang.in", "sglang.txt"):
        assert re.search(rf"^sglang=={re.escape(version)}\b", (ROOT / "requirements" / name).read_text("utf-8"), re.M)


def test_sglang_is_started_as_the_catalogue_says() -> None:
    env = example()
    wish = env["SGLANG_MODEL"]
    served = [Choice(m, p, 1) for m in models() for p in m.precisions if p.repository == wish]
    wanted = sglang_command(served[0], python="python3", host="0.0.0.0", port=30000)
    service = services(env)["sglang"]
    has = [part for a in [*service["entrypoint"], *service["command"]] for part in a.split("=", 1)]
    name = wanted.index("--served-model-name")  # one model is served, and the client takes the only one there is
    assert set(wanted[:name] + wanted[name + 2 :]) <= set(has)


@pytest.mark.parametrize("name", list(services()) if COMPOSE.exists() else [])
def test_each_part_is_shut_in(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    # Published at most on this host's loopback, and by the pages alone.
    assert all(p.startswith("127.0.0.1:") for p in service.get("ports", [])) and ("ports" in service) == (name == "web")
    assert "user" not in service if name in AS_ROOT else str(service["user"]).split(":")[0] not in ("", "0", "root")
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}
    declared = yaml.safe_load(COMPOSE.read_text("utf-8"))["volumes"]
    # ./models is the operator's own folder of model files, and can only be read.
    assert {v.split(":")[0] for v in service["volumes"] if v != "./models:/models:ro"} <= set(declared)
    if name in ONE_SHOT:
        assert service["restart"] == "no" and service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped" and service["stop_grace_period"]
        assert service["healthcheck"].keys() >= {"test", "interval", "timeout", "retries", "start_period"}


def test_nothing_but_the_parts_reaches_the_database() -> None:
    assert yaml.safe_load(COMPOSE.read_text("utf-8"))["networks"]["data"] == {"internal": True}
    assert services()["postgres"]["networks"] == ["data"]


def test_all_wait_for_the_schema() -> None:
    for name in set(ours()) - ONE_SHOT - STANDS_ALONE:
        assert services()[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services()["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def seconds(duration: str) -> int:
    return sum(int(n) * {"h": 3600, "m": 60, "s": 1}[u] for n, u in re.findall(r"(\d+)([hms])", duration))


def test_stopping_waits_for_the_longest_job() -> None:
    defaults = load(environ={})
    assert seconds(services()["worker"]["stop_grace_period"]) > defaults.audio.timeout_s
    # Half of real time is a slow machine for Whisper base.
    longest = defaults.audio.max_hours * 3600 / 2
    assert seconds(services()["worker-transcribe"]["stop_grace_period"]) >= longest


@pytest.mark.parametrize("profiles", [(), ("gpu",), ("llama",), ("dev",), ("gpu", "llama", "dev")])
def test_docker_compose_accepts_it(profiles: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    for name in example():
        monkeypatch.delenv(name, raising=False)
    argv = [a for p in profiles for a in ("--profile", p)]
    (tmp_path / "empty").touch()
    # Without profiles also without a .env, as on a machine where nobody has made one.
    for env in (EXAMPLE, *([] if profiles else [tmp_path / "empty"])):
        done = subprocess.run(
            [program, "-f", str(COMPOSE), "--env-file", str(env), *argv, "config", "-q"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
