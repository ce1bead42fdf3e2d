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


def answer(text: str, **changes: Any) -> str:
    pins = tool("sbom").read_lock(text)
    found = [{"name": p.name.replace("-", "_"), "version": p.version, "vulns": []} for p in pins]
    found[3] |= changes
    return json.dumps({"dependencies": [d for d in found if not d.get("left_out")], "fixes": []})


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({}, 0, "0 known"),
        ({"skip_reason": "not found"}, 1, "SKIPPED"),
        ({"left_out": True}, 1, "not in the answer"),
        ({"version": "0.0.1"}, 1, "SKIPPED"),
        ({"vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}, 1, "CVE-1, fixed in 2"),
    ],
)
def test_the_audit(
    changes: dict[str, Any], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool("sbom")
    audit = tool("audit")
    lock = ROOT / "requirements" / "run.txt"
    (tmp_path / "said").write_text(answer(lock.read_text("utf-8"), **changes))
    command = [sys.executable, "-c", f"print(open({str(tmp_path / 'said')!r}).read())"]
    assert audit.audit(lock, command) == code
    assert said in capsys.readouterr().out


def test_an_audit_that_did_not_run_fails(capsys: pytest.CaptureFixture[str]) -> None:
    tool("sbom")
    code = tool("audit").audit(ROOT / "requirements" / "build.txt", [sys.executable, "-c", "raise SystemExit(3)"])
    assert code == 1 and "no answer" in capsys.readouterr().err
