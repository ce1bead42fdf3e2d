"""Conventions, held by tests: module sizes, docs that name what there is, lock files without hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import COMMANDS
from pipeline.settings import keys
from pipeline.store import episodes, outbox

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(p.relative_to(ROOT / "pipeline") for p in (ROOT / "pipeline").rglob("*.py") if p.name != "__init__.py")
needs_checkout = pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="only in a checkout")


def test_modules_stay_small() -> None:
    sizes = {str(m): len((ROOT / "pipeline" / m).read_text("utf-8").splitlines()) for m in MODULES}
    assert {m: n for m, n in sizes.items() if n > 320} == {}


@needs_checkout
def test_structure_names_every_module() -> None:
    told = (ROOT / "docs" / "structure.md").read_text("utf-8")
    missing = [str(m) for m in MODULES if m.parts[0] not in ("cli", "store") and not re.search(rf"\b{m.stem}\b", told)]
    assert missing == []


@needs_checkout
def test_readme_names_every_command() -> None:
    told = (ROOT / "README.md").read_text("utf-8")
    assert [c for c in COMMANDS if not re.search(rf"podsift {c}\b|make {c}\b", told)] == []


@needs_checkout
@pytest.mark.parametrize("name", ["commands", "settings"])
def test_the_reference_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    # In a process of its own: click keeps an option once made, and other tests make them in other ways.
    argv = [sys.executable, "-m", "bench.reference", name]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert written == said, "run: python -m bench.reference"


@needs_checkout
def test_no_mail_lies_in_the_repository() -> None:
    found = subprocess.run(["git", "ls-files", "*.eml"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == ""


@needs_checkout
def test_locks_carry_no_host() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text("utf-8")
        assert "://" not in text and "--index-url" not in text and "--hash=sha256:" in text


@needs_checkout
def test_every_setting_is_read_somewhere() -> None:
    code = "\n".join(
        (ROOT / "pipeline" / m).read_text("utf-8") for m in MODULES if m.name not in ("settings.py", "sections.py")
    )
    settings = "".join((ROOT / "pipeline" / f).read_text("utf-8") for f in ("settings.py", "sections.py"))
    waiting = {"secret_key"}  # written by `podsift init`; signed links and stored credentials come later
    unread = [k[-1] for k in keys().values() if f".{k[-1]}" not in code and f"self.{k[0]}.{k[-1]}" not in settings]
    assert set(unread) - waiting - {"data_dir", "url"} == set()


def test_each_state_has_a_gloss() -> None:
    assert all(episodes.STAGES.values()) and all(outbox.STATES.values())
    assert set(episodes.WAITING) < set(episodes.STAGES)
