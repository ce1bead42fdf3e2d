"""The process that reads feed documents: little memory, limited CPU, nothing of the operator's settings in it.

On stdin a line of JSON and the document's bytes; on stdout the length of an answer and the answer, pickled. The parent
watches the clock; address space and CPU are limited here, and going over them ends the process.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import resource
import struct
import sys
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import ParseError

LENGTH = struct.Struct(">Q")
MOST_NOTES = 5
MOST_FILES = 64
GROWN = 150_000_000


class _Notes(logging.Handler):
    """Warnings of one document, handed to the parent, whose log they belong in."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.found) < MOST_NOTES:
            self.found.append(record.getMessage()[:500])


def limit(most_bytes: int) -> None:
    """Bound the address space and the files of this process, of which it writes none; no core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))


def allow_cpu(seconds: float) -> None:
    """From now on so many CPU seconds more; the kernel ends the process that takes them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + seconds), hard))


def answer(asked: dict[str, str | None], body: bytes) -> tuple[str, object, list[str]]:
    """What one document says: `feed` and the records, `refused` and why, or `memory`; then notes for the log."""
    from pipeline.feed.parse import parse  # the parent imports this module for the form of answers alone

    notes = _Notes()
    logging.getLogger().handlers = [notes]
    try:
        return "feed", parse(body, asked["base_url"] or "", asked["content_type"]), notes.found
    except ParseError as e:
        if isinstance(e.__cause__, MemoryError):
            return "memory", None, notes.found
        return "refused", (e.message, e.cause(), e.hint), notes.found
    except MemoryError:
        return "memory", None, notes.found


def held() -> int:
    """Bytes of memory that this process has now. Its peak would not do: Linux counts the parent's before exec in it."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until stdin ends, or until this process has grown: it says that an answer is its last one."""
    while line := requests.readline():
        asked = json.loads(line)
        allow_cpu(asked["cpu_s"])
        found = answer(asked, requests.read(asked["bytes"]))
        # A process keeps what one large document made it take.
        last = found[0] == "memory" or held() > GROWN
        said = pickle.dumps((*found, last), protocol=5)
        answers.write(LENGTH.pack(len(said)) + said)
        answers.flush()
        if last:
            return


def main() -> None:
    import pipeline.feed.parse  # noqa: F401 - now, and not within the time of the first document

    limit(int(sys.argv[1]))
    # Whatever prints must not end up in an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
