"""The data folder is its owner's alone; SQL in text takes values as parameters; what docs/security.md says holds."""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path

import pytest

from pipeline.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    # (module, what is put into the text): numbers and names of our own, never a value from outside.
    ("backup/write.py", "n"),
    ("store/database.py", "pragma"),
    ("store/database.py", "setting"),
    ("store/search.py", "DEPTH"),
}


def test_the_data_folder_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    try:
        assert run(["init"]) == 0 and run(["subscriber", "add", "reader@example.org"]) == 0
        assert run(["backup", "b.tar.gz"]) == 0
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes == {"podsift.toml": 0o600, "podsift-data": 0o700, "b.tar.gz": 0o600}


def sql_with_names(path: Path) -> set[str]:
    """What is put by f-strings or % into a text that is handed to the database."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in ("text", "execute", "exec_driver_sql", "executemany") or not node.args:
            continue
        first = node.args[0]
        for part in ast.walk(first):
            if isinstance(part, ast.FormattedValue):
                found.add(ast.unparse(part.value))
            if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mod) and isinstance(part.left, ast.Constant):
                found.add(ast.unparse(part.right))
    return found


def test_sql_takes_values_as_parameters() -> None:
    found = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        where = path.relative_to(ROOT / "pipeline").as_posix()
        found |= {(where, what) for what in sql_with_names(path)}
    assert found - ALLOWED == set()
