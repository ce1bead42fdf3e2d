"""Documents are read in processes of their own: one that eats time or memory ends its process, and costs its feed only.

feedparser is pure Python over anybody's bytes: 2.3 MB of the wrong kind took 44 s. Two processes read; a large document
waits for another large one, so the small ones always have a process. What comes back is unpickled from a child that
hostile bytes went through, so nothing but our own records is let in.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import pipeline
from pipeline import records
from pipeline.errors import ExhaustedError, ParseError
from pipeline.feed.pool_child import LENGTH, MOST_NOTES
from pipeline.records import ParsedFeed

CHILDREN = 2
LARGE = 1_000_000
CPU_S, CPU_S_A_MB = 5.0, 5.0
"""An honest document takes 1 to 2 CPU seconds a MB, a hostile one 5 and more."""
WALL = 4.0
"""Wall time allowed for a CPU second, as the machine may be busy."""
MOST_MEMORY = 1 << 30
MOST_ANSWER = 128 << 20

_BOOT = (
    "import sys; sys.path.insert(0, {root!r}); import pipeline; del sys.path[0]; "
    "from pipeline.feed.pool_child import main; main()"
)
_RECORDS = ("ParsedFeed", "ParsedEpisode", "TranscriptLink", "Person", "Chapter", "Soundbite")
_KNOWN = {("pipeline.records", name): getattr(records, name) for name in _RECORDS} | {
    ("datetime", "datetime"): datetime,
    ("datetime", "timedelta"): timedelta,
    ("datetime", "timezone"): timezone,
}
_ENVIRONMENT = re.compile(r"PATH|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|PYTHON\w+|COV_CORE_\w+|COVERAGE_\w+|SYSTEMROOT")
"""What a child gets of the environment."""
log = logging.getLogger(__name__)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not among the records of a feed") from None


class ParserPool:
    """`async with ParserPool() as pool: feed = await pool.parse(body, url)`. Processes start when first needed."""

    def __init__(self, children: int = CHILDREN, *, cpu_s: float = CPU_S, most_memory: int = MOST_MEMORY):
        self._cpu_s, self._memory = cpu_s, most_memory
        self._any, self._large = asyncio.Semaphore(children), asyncio.Semaphore(max(children - 1, 1))
        self._free: list[_Child] = []
        self._all: set[_Child] = set()
        self._threads = ThreadPoolExecutor(children, thread_name_prefix="parse")

    async def __aenter__(self) -> ParserPool:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for child in self._all:
            child.end()
        self._threads.shutdown(wait=True)

    async def parse(self, body: bytes, base_url: str, content_type: str | None = None) -> ParsedFeed:
        """As `feed.parse.parse`. Raises ParseError; ExhaustedError for a document that went over its time or memory."""
        async with self._large if len(body) > LARGE else nullcontext(), self._any:
            child = self._free.pop() if self._free else self._new()
            cpu_s = self._cpu_s + CPU_S_A_MB * len(body) / 1e6
            work = asyncio.get_running_loop().run_in_executor(
                self._threads, child.parse, body, base_url, content_type, cpu_s
            )
            try:
                return await asyncio.shield(work)
            finally:
                # Cancelled in the middle of a document: its process must not answer somebody else.
                if not work.done():
                    child.end()
                    work.add_done_callback(lambda done: done.cancelled() or done.exception())
                if child.alive:
                    self._free.append(child)
                else:
                    self._all.discard(child)
                    child.end()

    def _new(self) -> _Child:
        child = _Child(self._memory)
        self._all.add(child)
        return child


class _Child:
    """One process. `parse` is called by one thread at a time; `end` by any."""

    def __init__(self, most_memory: int):
        root = str(Path(pipeline.__file__).resolve().parent.parent)
        # Secrets of the parent's environment are none of a parser's business.
        env = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT.format(root=root), str(most_memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
        )
        self._memory = most_memory
        self._ending = threading.Lock()
        self.alive = True

    def parse(self, body: bytes, base_url: str, content_type: str | None, cpu_s: float) -> ParsedFeed:
        try:
            said = self._ask(body, base_url, content_type, cpu_s)
            kind, value, notes, last = _Unpickler(io.BytesIO(said)).load()
            message, why, hint = value if kind == "refused" else (None, None, None)
        except ParseError:
            self.alive = False
            raise
        except Exception as e:
            self.alive = False
            raise ExhaustedError("The feed cannot be read", why=f"its answer makes no sense: {e}") from e
        for note in notes[:MOST_NOTES]:
            log.warning("%s", str(note)[:500])
        self.alive = not last
        if kind == "feed" and isinstance(value, ParsedFeed):
            return value
        if kind == "refused":
            raise ParseError(message, why=why, hint=hint)
        raise ExhaustedError("The feed cannot be read", why=f"it takes more than {self._memory >> 20} MB of memory")

    def _ask(self, body: bytes, base_url: str, content_type: str | None, cpu_s: float) -> bytes:
        asked = {"bytes": len(body), "base_url": base_url, "content_type": content_type, "cpu_s": cpu_s}
        wall_s = cpu_s * WALL
        watch = threading.Timer(wall_s, self._process.kill)
        watch.daemon = True
        watch.start()
        began = time.monotonic()
        try:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(asked).encode() + b"\n" + body)
                self._process.stdin.flush()
            head = self._read(LENGTH.size)
            (count,) = LENGTH.unpack(head)
            if count > MOST_ANSWER:
                raise ExhaustedError("The feed cannot be read", why=f"what it says would be {count >> 20} MB")
            return self._read(count)
        except EOFError:
            code = self._process.wait()
            raise ExhaustedError("The feed cannot be read", why=_ended(code, cpu_s, time.monotonic() - began)) from None
        finally:
            watch.cancel()

    def _read(self, count: int) -> bytes:
        assert self._process.stdout is not None
        got = self._process.stdout.read(count)
        if len(got) < count:
            raise EOFError
        return got

    def end(self) -> None:
        """Kill the process and release its pipes; harmless when called twice."""
        with self._ending:
            self.alive = False
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError, ValueError):
                    if pipe is not None:
                        pipe.close()


def _ended(code: int, cpu_s: float, took_s: float) -> str:
    if code == -signal.SIGXCPU:
        return f"it takes more than {cpu_s:.0f} s of CPU"
    if code == -signal.SIGKILL and took_s >= cpu_s * WALL - 0.5:
        return f"it was not read within {cpu_s * WALL:.0f} s"
    return f"its process ended with {code}" if code >= 0 else f"its process was ended by signal {-code}"
