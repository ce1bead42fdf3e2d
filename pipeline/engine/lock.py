"""One process a data folder, held by a file lock that ends with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.settings import Settings

NAME = "podsift.lock"


@contextmanager
def hold(settings: Settings, inherited: int | None = None) -> Iterator[int | None]:
    """What work on an installation needs: the folder on SQLite. On PostgreSQL many work; rows say who does what.

    Gives the descriptor that holds the lock. A part of `podsift up` has it `inherited`.
    """
    if settings.on_postgres:
        yield None
    elif inherited is not None:
        _check(inherited, settings.data_dir / NAME)
        yield inherited
    else:
        with only_one(settings.data_dir) as descriptor:
            yield descriptor


def _check(descriptor: int, path: Path) -> None:
    """Raise UsageError unless this descriptor, from our parent, holds the lock on the folder."""
    try:
        same = os.path.samestat(os.fstat(descriptor), path.stat())
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        same = False
    if not same:
        raise UsageError("The lock of the data folder was not handed over", hint="start podsift up")
    os.set_inheritable(descriptor, False)  # a child of ours that outlives us must not keep the folder


@contextmanager
def only_one(data_dir: Path) -> Iterator[int]:
    """Hold the folder; gives the descriptor. Raises UsageError with the pid of the process that holds it."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / NAME
    # The descriptor is not inherited: a child that outlives us must not keep the folder locked.
    with path.open("a+") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            f.seek(0)
            pid = f.read().strip() or "unknown"
            raise UsageError(
                f"Another podsift works on {data_dir}: process {pid}",
                why="one process at a time may work on one data folder",
                hint=f"stop it (kill {pid}), or use another data_dir",
                pid=pid,
            ) from None
        f.seek(0)
        f.truncate()
        f.write(str(os.getpid()))
        f.flush()
        yield f.fileno()
