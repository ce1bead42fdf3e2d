"""Look every locked package up among known vulnerabilities, and fail when one was skipped.

    python -m pip install pip-audit            # in an environment of its own
    python tools/audit.py requirements/run.txt requirements/image.txt requirements/gpu.txt requirements/sglang.txt

pip-audit leaves out what it cannot look up and still ends with 0 ("No known vulnerabilities found", when no service
answers), and so it does with packages of other platforms. Here every name and version of the lock has to be among its
answers, whatever its marker. Exit code 0: all were looked up and nothing is known; 1: something is known, or one was
skipped.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sbom import Pin, read_lock

PIP_AUDIT = ("pip-audit", "--no-deps", "--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")


def judge(pins: Sequence[Pin], answer: Any) -> tuple[list[str], list[str]]:
    """What is known of them, and which were skipped, from pip-audit's JSON."""
    known: list[str] = []
    looked_up: set[tuple[str, str]] = set()
    reasons: dict[str, str] = {}
    for d in answer["dependencies"]:
        name = re.sub(r"[-_.]+", "-", d["name"]).lower()
        if "skip_reason" in d:
            reasons[name] = d["skip_reason"]
            continue
        looked_up.add((name, d["version"]))
        known += [
            f"{name} {d['version']}: {v['id']}, fixed in {', '.join(v['fix_versions']) or 'none'}" for v in d["vulns"]
        ]
    left = [p for p in pins if (p.name, p.version) not in looked_up]
    return known, [f"{p.name} {p.version}: {reasons.get(p.name, 'not in the answer')}" for p in left]


def rounds(pins: Sequence[Pin]) -> list[list[Pin]]:
    """The lock without markers; where it has several versions of a package, each goes into a round of its own."""
    found: list[list[Pin]] = []
    for p in pins:
        for one in found:
            if p.name not in {q.name for q in one}:
                one.append(p)
                break
        else:
            found.append([p])
    return found


def written(pins: Sequence[Pin]) -> str:
    return "".join(f"{p.name}=={p.version} " + " ".join(f"--hash=sha256:{h}" for h in p.hashes) + "\n" for p in pins)


def audit(lock: Path, command: Sequence[str] = PIP_AUDIT) -> int:
    pins, known, skipped = read_lock(lock.read_text("utf-8")), list[str](), list[str]()
    for some in rounds(pins):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as asked:
            asked.write(written(some))
            asked.flush()
            done = subprocess.run([*command, "-r", asked.name], capture_output=True, text=True, check=False)
        try:
            more_known, more_skipped = judge(some, json.loads(done.stdout))
        except (ValueError, KeyError, TypeError):
            print(f"{lock}: pip-audit gave no answer\n{done.stderr.strip()[-2000:]}", file=sys.stderr)
            return 1
        known += more_known
        skipped += more_skipped
    for line in known:
        print(f"{lock}: known: {line}")
    if len(skipped) == len(pins):
        print(f"{lock}: SKIPPED: all of them; is a vulnerability service within reach? The first: {skipped[0]}")
    else:
        for line in skipped:
            print(f"{lock}: SKIPPED: {line}")
    print(f"{lock}: {len(pins)} packages, {len(pins) - len(skipped)} looked up, {len(known)} known vulnerabilities")
    return 1 if known or skipped else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", type=Path, nargs="+")
    return max([audit(lock) for lock in parser.parse_args().lock])


if __name__ == "__main__":
    sys.exit(main())
