"""The parts of `podsift up`: started, watched, started again when they end, and stopped in order."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pipeline
from pipeline.clock import iso_z

log = logging.getLogger("podsift")
STATUS = "podsift.parts.json"
"""In the data folder: what runs, and how often each was started again."""
FIRST_S, LONGEST_S = 1.0, 60.0
"""Wait before a part is started again; doubles while it keeps ending."""
WELL_S = 60.0
"""A part that has run for so long was well; the next wait is the first again."""
LOOK_S = 0.2
FINAL = (2, 4)
"""Exit codes that a new start does not heal: another podsift holds the folder, a setting is wrong."""
_BOOT = "import sys; sys.path.insert(0, {root!r}); from pipeline.cli.main import main; main()"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A process: its arguments for podsift, and the descriptors it inherits."""

    name: str
    argv: tuple[str, ...]
    fds: tuple[int, ...] = ()


def parts(on_postgres: bool, config: Path | None, web: bool, lock: int | None) -> list[Part]:
    """What `podsift up` runs, in the order in which it is started; it is stopped the other way round."""
    common = ("--config", str(config)) if config else ()
    if on_postgres:
        found = [Part("worker", (*common, "worker")), Part("clock", (*common, "clock"))]
    else:
        assert lock is not None
        found = [Part("engine", (*common, "up", "--alone", "--lock-fd", str(lock)), (lock,))]
    return [*found, *([Part("web", (*common, "web"))] if web else [])]


def pause_s(failures: int) -> float:
    """How long to wait after so many ends in a row."""
    return min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 10))


@dataclass
class _State:
    """A part now."""

    pid: int | None = None
    started_at: str | None = None
    restarts: int = 0
    last_exit: int | None = None
    last_exit_at: str | None = None


@dataclass
class _Watched:
    part: Part
    state: _State = field(default_factory=_State)
    process: subprocess.Popen[bytes] | None = None
    begun: float = 0.0
    failures: int = 0
    again_at: float = 0.0


class Supervisor:
    """`run` returns the exit code: 0 after a stop, or a part's own where a new start would not help."""

    def __init__(
        self, parts: Sequence[Part], status: Path, start: Callable[[Part], subprocess.Popen[bytes]] | None = None
    ):
        self._watched = [_Watched(p) for p in parts]
        self._status, self._start = status, start or started
        self._asked = 0

    def run(self) -> int:
        before = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            return self._run()
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)
            self._status.unlink(missing_ok=True)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked += 1

    def _run(self) -> int:
        for w in self._watched:
            self._begin(w)
        self._tell()
        while not self._asked:
            time.sleep(LOOK_S)
            for w in self._watched:
                code = self._look(w)
                if code is not None:
                    self._end_all()
                    return code
        self._end_all()
        return 0

    def _begin(self, w: _Watched) -> None:
        w.process, w.begun = self._start(w.part), time.monotonic()
        w.state.pid, w.state.started_at = w.process.pid, iso_z(datetime.now(UTC))

    def _look(self, w: _Watched) -> int | None:
        """An exit code for all when this part cannot go on."""
        now = time.monotonic()
        if w.process is None:
            if now >= w.again_at:
                w.state.restarts += 1
                self._begin(w)
                self._tell()
            return None
        code = w.process.poll()
        if code is None:
            return None
        if code in FINAL and not w.state.restarts:
            return code
        w.failures = 1 if now - w.begun > WELL_S else w.failures + 1
        w.again_at, w.process = now + pause_s(w.failures), None
        w.state.pid, w.state.last_exit, w.state.last_exit_at = None, code, iso_z(datetime.now(UTC))
        log.warning("%s ended (%s); it is started again in %.0f s", w.part.name, said(code), pause_s(w.failures))
        self._tell()
        return None

    def _end_all(self) -> None:
        """One after another, the last that was started first; a second Ctrl-C or SIGTERM kills what is left."""
        for w in reversed(self._watched):
            if w.process is None:
                continue
            with suppress(ProcessLookupError):
                w.process.send_signal(signal.SIGTERM)
            while w.process.poll() is None:
                if self._asked > 1:
                    w.process.kill()
                time.sleep(LOOK_S)

    def _tell(self) -> None:
        told: dict[str, Any] = {w.part.name: asdict(w.state) for w in self._watched}
        fresh = self._status.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(told, indent=1))
            fresh.replace(self._status)
        except OSError as e:
            log.warning("%s cannot be written: %s", self._status, e)


def said(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def started(part: Part) -> subprocess.Popen[bytes]:
    """The process of a part. It is asked to stop when we end without a word (kill -9), where the system can do that."""
    root = str(Path(pipeline.__file__).resolve().parent.parent)
    # A group of its own: Ctrl-C in a terminal reaches who watches alone, who passes it on, in order.
    argv = [sys.executable, "-P", "-c", _BOOT.format(root=root), *part.argv]
    return subprocess.Popen(
        argv, pass_fds=part.fds, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_end_with_parent(os.getpid())
    )


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return ask


def read_status(path: Path) -> dict[str, dict[str, Any]]:
    """The parts of a running `podsift up`; empty without one."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
