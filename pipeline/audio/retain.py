"""What is left in the audio folder that nothing needs any more."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path


def sweep(folder: Path, wanted: Collection[str], older_than: datetime | None = None) -> int:
    """Delete files whose name up to its first dot is not in `wanted`; returns how many. Only files, never folders.

    With `older_than`, only files that were last written before; for a folder in which work goes on.
    """
    if not folder.is_dir():
        return 0
    left = [p for p in folder.iterdir() if p.is_file() and p.name.partition(".")[0] not in wanted]
    if older_than is not None:
        left = [p for p in left if p.stat().st_mtime < older_than.timestamp()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
