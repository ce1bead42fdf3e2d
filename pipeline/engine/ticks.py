"""The clock: what is looked at how often. APScheduler keeps the time; whoever holds the lock is the one clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.clock import Clock
from pipeline.errors import DatabaseAwayError, PodsiftError
from pipeline.store import episodes
from pipeline.store.database import Database

log = logging.getLogger(__name__)

EVERY_S = 60.0
HOUR_S, DAY_S = 3600.0, 24 * 3600.0
LOOK_S = 5.0
"""How often a clock that stands by looks whether the other one has gone, and the one in charge whether it still is."""

Tick = tuple[float, Callable[[], object]]
"""(seconds between, what is done)."""


def scheduler(clock: Clock, ticks: list[Tick]) -> BackgroundScheduler:
    """Not started yet. One instance a tick: a slow one is not started beside itself, missed ones become one."""
    made = BackgroundScheduler(timezone="UTC", job_defaults={"max_instances": 1, "coalesce": True})
    for seconds, do in ticks:
        made.add_job(_safe(do), "interval", seconds=seconds, next_run_time=clock.now(), misfire_grace_time=None)
    return made


def _safe(do: Callable[[], object]) -> Callable[[], None]:
    def tick() -> None:
        try:
            do()
        except PodsiftError as e:
            log.error("%s", e)  # noqa: TRY400 - our own error says it all
        except Exception:
            log.exception("a tick of the clock broke; the next one tries again")

    return tick


def queue_ticks(db: Database, clock: Clock, more: Sequence[Tick] = ()) -> list[Tick]:
    """What the clock of a PostgreSQL installation does; the work itself is done by workers. `more` comes on top."""
    from pipeline.engine import queue

    def release() -> None:
        with db.begin() as conn:
            episodes.release_future(conn, clock.now())

    return [
        (EVERY_S, release),
        (EVERY_S, lambda: queue.order(db, "poll")),
        (EVERY_S, lambda: queue.order(db, "digest")),
        (queue.STALE_S, lambda: queue.rescue(db)),
        (3600, lambda: queue.resume(db)),
        (DAY_S, lambda: queue.prune(db)),
        *more,
    ]


def keep(
    db: Database, clock: Clock, stop: threading.Event, say: Callable[[str], None], more: Sequence[Tick] = ()
) -> None:
    """Be the clock of a PostgreSQL installation until `stop`; stand by while another one is.

    Raises DatabaseAwayError when the lock's session is lost: another clock may hold it now.
    """
    told = False
    with db.present("clock"):
        while not stop.is_set():
            with db.alone("clock") as lock:
                if lock:
                    say("this is the clock")
                    _tick_while(lock.lasts, scheduler(clock, queue_ticks(db, clock, more)), stop)
                    return
            if not told:
                say("another clock is at work; this one stands by")
                told = True
            stop.wait(LOOK_S)


def _tick_while(held: Callable[[], bool], made: BackgroundScheduler, stop: threading.Event) -> None:
    made.start()
    try:
        while not stop.wait(LOOK_S):
            if not held():
                raise DatabaseAwayError("The clock lost its lock", why="the database was away", hint="start it again")
    finally:
        made.shutdown(wait=True)


class ClockThread(AbstractContextManager["ClockThread"]):
    """A clock beside a worker in one process (`podsift up` on PostgreSQL). When it fails, `failed` is called."""

    def __init__(self, db: Database, clock: Clock, failed: Callable[[], None], more: Sequence[Tick] = ()):
        self._stop = threading.Event()
        self.error: Exception | None = None

        def run() -> None:
            try:
                keep(db, clock, self._stop, log.info, more)
            except Exception as e:
                self.error = e
                failed()

        self._thread = threading.Thread(target=run, name="clock", daemon=True)

    def __enter__(self) -> ClockThread:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
