"""A software bill of materials (CycloneDX 1.6, JSON) of what a lock installs.

    python tools/sbom.py requirements/run.txt

Names, versions and the sha256 of every file that may be installed come from the lock; licences from the metadata of
what is installed beside this script, where it is. The same lock gives the same document, but for the licences.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
import uuid
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$")
_HASH = re.compile(r"^\s+--hash=sha256:([0-9a-f]{64})\s*\\?$")
SPACE = uuid.UUID("6f1d2f0e-6f0b-5c5e-9b1a-3f6b7d1c2a10")


@dataclass
class Pin:
    """A locked package; `marker` says on which platforms it is installed."""

    name: str
    version: str
    marker: str | None
    hashes: list[str] = field(default_factory=list)


def read_lock(text: str) -> list[Pin]:
    """Every package of a lock. Raises ValueError for a line that is none, as leaving one out would be a false bill."""
    found: list[Pin] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pin, digest = _PIN.match(line), _HASH.match(line)
        if pin:
            found.append(Pin(re.sub(r"[-_.]+", "-", pin[1]).lower(), pin[2], pin[3]))
        elif digest and found:
            found[-1].hashes.append(digest[1])
        else:
            raise ValueError(f"not a line of a lock: {line!r}")
    bare = [p.name for p in found if not p.hashes]
    if bare:
        raise ValueError(f"without a hash: {', '.join(bare)}")
    return found


def licence(name: str, version: str) -> list[dict[str, Any]]:
    """What the installed package of this version says of its licence; empty where it is not installed."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return []
    if found["Version"] != version:
        return []
    if found.get("License-Expression"):
        return [{"expression": found["License-Expression"]}]
    classifiers = [c for c in found.get_all("Classifier") or [] if c.startswith("License :: ")]
    names = [c.rpartition(" :: ")[2] for c in classifiers] or [(found.get("License") or "").splitlines()[0:1]]
    return [{"license": {"name": n}} for n in names if isinstance(n, str) and n]


def component(p: Pin) -> dict[str, Any]:
    purl = f"pkg:pypi/{p.name}@{p.version}"
    made: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": p.name, "version": p.version, "purl": purl}
    licences = licence(p.name, p.version)
    if licences:
        made["licenses"] = licences
    hashes = [{"alg": "SHA-256", "content": h} for h in p.hashes]
    made["externalReferences"] = [{"type": "distribution", "url": purl, "hashes": hashes}]
    if p.marker:
        made["properties"] = [{"name": "podsift:marker", "value": p.marker}]
    return made


def bill(lock: str, name: str) -> dict[str, Any]:
    """The document for a lock's text."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = read_lock(lock)
    root = {"type": "application", "bom-ref": "podsift", "name": project["name"], "version": project["version"]}
    parts = sorted((component(p) for p in pins), key=lambda c: (c["name"], c["version"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SPACE, name + lock)}",
        "version": 1,
        "metadata": {"component": root | {"licenses": [{"expression": project["license"]}]}},
        "components": parts,
        "dependencies": [{"ref": "podsift", "dependsOn": sorted({c["bom-ref"] for c in parts})}],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path, nargs="+")
    parser.add_argument("--into", type=Path, help="a folder for NAME.cdx.json; without it one is printed")
    given = parser.parse_args()
    for lock in given.lock:
        text = json.dumps(bill(lock.read_text("utf-8"), lock.name), indent=1) + "\n"
        if given.into is None:
            sys.stdout.write(text)
            continue
        given.into.mkdir(parents=True, exist_ok=True)
        (given.into / f"podsift-{lock.stem}.cdx.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
