"""The in-process runner: the waiting set is a query, memory holds only wake-ups and what is in flight.

Crash recovery is starting: whatever waited in the database waits there still.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.clock import Clock
from pipeline.engine.base import Report
from pipeline.engine.step import Stage, step
from pipeline.store import episodes
from pipeline.store.database import Database

Gate = Callable[[str, Mapping[str, int]], bool]


class LocalEngine:
    """Runs stages in bounded thread pools, one a stage."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        stages: Sequence[Stage],
        report: Report | None = None,
        gate: Gate | None = None,
    ):
        """`gate` is asked before a stage is looked at, with the number of episodes in hand by stage."""
        self._gate: Gate = gate or (lambda _stage, _flying: True)
        self.db = db
        self.clock = clock
        self.stages = tuple(stages)
        self._report: Report = report or (lambda _stage, _id, _outcome: None)
        self._wake = threading.Condition()
        self._woken = False
        self._stopping = False
        self._flying: set[tuple[str, int]] = set()
        self._broken: list[Exception] = []

    def wake(self) -> None:
        """Look at the waiting set now."""
        with self._wake:
            self._woken = True
            self._wake.notify_all()

    def stop(self) -> None:
        """Take up nothing new; what is in flight ends first."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def run(self, *, until_idle: bool, look_s: float = 5.0) -> None:
        """Work until nothing is left that may run now, or until `stop`.

        Other processes may write to the same file, so the query is also asked every `look_s` seconds.
        """
        pools = {s.name: ThreadPoolExecutor(s.slots, thread_name_prefix=s.name) for s in self.stages}
        try:
            while True:
                with self._wake:
                    self._woken = False
                    if self._stopping:
                        return
                    if self._broken:
                        raise self._broken[0]
                self._submit(pools)
                with self._wake:
                    if until_idle and not self._flying and not self._woken:
                        return
                    if not self._woken and not self._stopping:
                        self._wake.wait(look_s)
        finally:
            for pool in pools.values():
                pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, pools: dict[str, ThreadPoolExecutor]) -> None:
        with self.db.begin() as conn:
            episodes.release_future(conn, self.clock.now())
        for stage in self.stages:
            with self._wake:
                flying = {i for name, i in self._flying if name == stage.name}
            free = stage.slots - len(flying)
            if free <= 0:
                continue
            with self._wake:
                by_stage = Counter(name for name, _ in self._flying)
            if not self._gate(stage.name, by_stage):
                continue
            with self.db.begin() as conn:
                ids = episodes.waiting(conn, stage.name, self.clock.now(), stage.slots + len(flying))
            for episode_id in [i for i in ids if i not in flying][:free]:
                with self._wake:
                    self._flying.add((stage.name, episode_id))
                pools[stage.name].submit(self._one, stage, episode_id)

    def _one(self, stage: Stage, episode_id: int) -> None:
        try:
            self._report(stage.name, episode_id, "start")
            self._report(stage.name, episode_id, step(self.db, self.clock, stage, episode_id))
        except Exception as e:  # the database itself failed: the loop raises it, and a restart goes on from the rows
            self._broken.append(e)
        finally:
            with self._wake:
                self._flying.discard((stage.name, episode_id))
                self._woken = True
                self._wake.notify_all()
