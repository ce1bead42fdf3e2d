"""The bill of materials names all that the locks install; the audit fails when it skips a package."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
pytestmark = pytest.mark.skipif(not (ROOT / "tools").exists(), reason="only in a checkout")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.stem)
def test_every_locked_package_is_in_the_bill(lock: Path) -> None:
    sbom = tool("sbom")
    text = lock.read_text("utf-8")
    bill = sbom.bill(text, lock.name)
    assert len(bill["components"]) == text.count("==") - text.count(" == '") and bill["components"]
    assert len({c["bom-ref"] for c in bill["components"]}) <= len(bill["components"])
    assert all(c["externalReferences"][0]["hashes"] for c in bill["components"])
    assert bill == sbom.bill(text, lock.name)
    assert set(bill["dependencies"][0]["dependsOn"]) == {c["bom-ref"] for c in bill["components"]}


@pytest.mark.parametrize("line", ["-e .", "x>=1", "x @ https://example.org/x.whl", "x==1"])
def test_a_line_that_is_no_pin_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        tool("sbom").read_lock(line)


PIP_AUDIT = """
import json, sys
changes, of = json.loads(sys.argv[1]), sys.argv[2]
found = []
for line in open(sys.argv[-1]):
    assert ";" not in line and "--hash=sha256:" in line, line
    name, version = line.split()[0].split("==")
    entry = {"name": name.replace("-", "_"), "version": version, "vulns": []}
    if of in ("", name):
        entry |= changes
    if "skip_reason" in entry:
        del entry["version"], entry["vulns"]  # as pip-audit leaves them out
    if not entry.get("left_out"):
        found.append(entry)
print(json.dumps({"dependencies": found, "fixes": []}))
"""
"""Answers as pip-audit does, with changes to one package, or to all."""
SKIPPED = {"skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("changes", "of", "code", "said"),
    [
        ({}, "", 0, ", 0 known"),
        (SKIPPED, "httpx", 1, "SKIPPED: httpx"),
        (SKIPPED, "", 1, "SKIPPED: all of them"),
        ({"left_out": True}, "colorama", 1, "not in the answer"),
        ({"version": "0.0.1"}, "httpx", 1, "SKIPPED"),
        ({"vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}, "httpx", 1, "CVE-1, fixed in 2"),
    ],
)
def test_the_audit(changes: dict[str, Any], of: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    sbom = tool("sbom")
    audit = tool("audit")
    lock = ROOT / "requirements" / "run.txt"
    assert audit.audit(lock, [sys.executable, "-c", PIP_AUDIT, json.dumps(changes), of]) == code
    out = capsys.readouterr().out
    assert said in out
    pins = sbom.read_lock(lock.read_text("utf-8"))
    assert len({p.name for p in pins}) < len(pins) and any(p.marker for p in pins), "versions and markers of platforms"
    assert of or changes or f"{len(pins)} packages, {len(pins)} looked up" in out


def test_an_audit_that_did_not_run_fails(capsys: pytest.CaptureFixture[str]) -> None:
    tool("sbom")
    code = tool("audit").audit(ROOT / "requirements" / "build.txt", [sys.executable, "-c", "raise SystemExit(3)"])
    assert code == 1 and "no answer" in capsys.readouterr().err
