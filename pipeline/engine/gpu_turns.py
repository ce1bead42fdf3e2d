"""Whisper and the language model's server in turn on one GPU: the plan carried out (`llm.share_gpu`).

SGLang, started with --enable-memory-saver, gives its memory away and takes it back by two requests; Whisper's is its
child process's, which is ended. For one process that runs all stages (`podsift up`, `podsift run` on SQLite).
"""

from __future__ import annotations

import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import timedelta

from pipeline.clock import Clock
from pipeline.engine.gpu_plan import Pace, Turn, Waiting, decide
from pipeline.settings import LlmSettings
from pipeline.store import backlog
from pipeline.store.database import Database

log = logging.getLogger(__name__)

HEARS, WRITES = ("transcribe",), ("extract", "relate")
ANSWER_S = 120.0
"""For giving tens of gigabytes away, or loading them again."""
HISTORY = timedelta(days=7)
Ask = Callable[[str], bool]


class GpuTurns:
    """Asked before a stage is begun. Not for several threads: an engine's loop asks."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        llm: LlmSettings,
        end_whisper: Callable[[], None],
        ask: Ask | None = None,
        now: Callable[[], float] = time.monotonic,
    ):
        self._db, self._clock, self._llm, self._end_whisper = db, clock, llm, end_whisper
        self._ask, self._now = ask or self._post, now
        self.turn: Turn | None = None
        self._since = 0.0
        self.changes = 0

    def allows(self, stage: str, flying: Mapping[str, int]) -> bool:
        """Whether `stage` may begin; `flying` are the episodes in hand by stage. Changes the turn when it is time."""
        group: Turn | None = "hear" if stage in HEARS else "write" if stage in WRITES else None
        if group is None:
            return True
        wanted = self._wanted()
        if wanted != self.turn:
            if any(flying.get(s) for s in (*HEARS, *WRITES)):
                return False  # what is in hand ends first
            self._change(wanted)
        return group == self.turn

    def _wanted(self) -> Turn:
        now = self._clock.now()
        with self._db.begin(reads=True) as conn:
            waits = backlog.waiting(conn, now)
            pace = backlog.pace(conn, now - HISTORY)
        lasted = self._now() - self._since
        found = Waiting(waits.audio_s, waits.heard, waits.deadline_s, self.turn or "hear", lasted if self.turn else 0.0)
        default = Pace()
        return decide(found, Pace(pace.hear or default.hear, pace.write_s or default.write_s))

    def _change(self, to: Turn) -> None:
        """Free the memory of the one before the other takes it."""
        begun = self._now()
        if to == "hear":
            # A server that is away holds no memory.
            self._ask("/release_memory_occupation")
        else:
            self._end_whisper()
            self._ask("/resume_memory_occupation")
        self.turn, self._since = to, self._now()
        self.changes += 1
        log.info(
            "the GPU is %s's, after %.1f s", "Whisper" if to == "hear" else "the language model", self._since - begun
        )

    def close(self) -> None:
        """Leave the server with its memory: others may use it, and the next start expects it."""
        if self.turn == "hear":
            self._end_whisper()
            self._ask("/resume_memory_occupation")

    def _post(self, path: str) -> bool:
        """To every server of the language model. A server that is away, or was started without it, is only logged."""
        fine = True
        for url in self._llm.urls:
            key = (
                {} if self._llm.api_key is None else {"Authorization": f"Bearer {self._llm.api_key.get_secret_value()}"}
            )
            headers = {"Content-Type": "application/json"} | key
            root = url.rstrip("/").removesuffix("/v1")
            request = urllib.request.Request(root + path, b"{}", headers, method="POST")  # noqa: S310 - llm.url is http(s)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(request, timeout=ANSWER_S):
                    pass
            except (OSError, ValueError, urllib.error.URLError) as e:
                fine = False
                log.warning("%s: %s; was it started with --enable-memory-saver?", path, e)
        return fine
