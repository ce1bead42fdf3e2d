"""Room on the disk: a floor stays free, and what downloads in flight still need is theirs, in every process.

A download holds a lock on a file of its own beside its `.part`. So what it reserves ends with it, also when its process
is killed, and nobody else writes to the same file meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import WaitingError

BUSY_S = 60


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Be the only download of this file, as long as the block lasts. Raises WaitingError when another one is."""
    path = target.with_suffix(".lock")
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise WaitingError("Another process downloads this audio", retry_after_s=BUSY_S) from None
        with suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == path.stat().st_ino:
                break
        os.close(handle)  # the one who held it took the name away before we had it
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def counting(folder: Path) -> Iterator[None]:
    """One at a time counts the room and takes some."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def require(target: Path, wanted: int, floor: int) -> None:
    """Raise WaitingError unless `wanted` bytes fit above the floor beside what downloads in flight still need."""
    free, promised = shutil.disk_usage(target.parent).free, in_flight(target)
    if free - promised - max(wanted, 0) < floor:
        reserved = f", {promised} bytes are for downloads in flight" if promised else ""
        raise WaitingError(
            "Downloads wait for disk space",
            why=f"{free} bytes free, {max(wanted, 0)} wanted{reserved}, {floor} stay reserved",
            hint="free some space, or lower audio.min_free_bytes",
        )


def in_flight(own: Path) -> int:
    """Bytes that other downloads into the same folder will still write, as far as their lengths are known."""
    return sum(_missing(path) for path in own.parent.glob("*.lock") if path.stem != own.stem and _held(path))


def _held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _missing(path: Path) -> int:
    try:
        total = json.loads(path.with_suffix(".part.json").read_text("utf-8"))["total"] or 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    with suppress(OSError):
        return max(int(total) - path.with_suffix(".part").stat().st_size, 0)
    return int(total)
