"""What is left in the audio folder that nothing needs any more."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def sweep(folder: Path, wanted: Collection[str]) -> int:
    """Delete files whose name up to its first dot is not in `wanted`; returns how many. Only files, never folders."""
    if not folder.is_dir():
        return 0
    left = [p for p in folder.iterdir() if p.is_file() and p.name.partition(".")[0] not in wanted]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
