"""The engine on PostgreSQL: Procrastinate hands wake-ups to many workers on many machines.

The stage column is the truth, a job only says "look at this episode". Whatever becomes of a job, the row says what is
to be done, and `resume` makes jobs again for rows that have none. The only module that imports Procrastinate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy, SyncPsycopgConnector, exceptions
from procrastinate.jobs import Job, Status
from procrastinate.schema import SchemaManager
from sqlalchemy import Connection, text

from pipeline.clock import Clock
from pipeline.engine.base import Report
from pipeline.engine.step import Stage, step
from pipeline.errors import DatabaseAwayError
from pipeline.logs import about
from pipeline.store import episodes
from pipeline.store.database import Database
from pipeline.store.episodes import Wakeup

log = logging.getLogger(__name__)

BACKFILL = -10
"""Priority of old episodes; fresh ones have 0."""
CHORE_STARTS = 5
STALE_S = 30.0
"""A worker that has not been heard of for so long (three heartbeats) is taken for dead."""
SKEW = timedelta(seconds=5)
"""How much our clock may lag behind the database's, by which jobs fall due, before a job is put back."""
AGAIN = RetryStrategy(max_attempts=4, exponential_wait=5)
"""For a job that the database's own trouble broke; an episode's troubles are counted in its row."""

_deferring = App(connector=SyncPsycopgConnector())
"""Never opened: it only writes jobs through a connection that a caller lends it. A worker's App cannot do that from a
synchronous session."""


def schema_sql() -> str:
    """The SQL that creates Procrastinate's tables and functions."""
    return SchemaManager.get_schema()


def wake(conn: Connection, waiting: Sequence[Wakeup]) -> None:
    """Defer a job for each, inside the caller's transaction."""
    for w in waiting:
        _defer(
            conn,
            _deferring.configure_task(
                w.stage,
                queue=w.stage,
                queueing_lock=f"{w.stage}:{w.episode_id}",
                priority=BACKFILL if w.backfill else 0,
                schedule_at=w.at,
                connection=conn.connection.driver_connection,
            ),
            episode_id=w.episode_id,
        )


def order(db: Database, chore: str) -> None:
    """Defer a chore, unless one waits already."""
    with db.begin() as conn:
        lent = conn.connection.driver_connection
        _defer(conn, _deferring.configure_task(chore, queue=chore, queueing_lock=chore, priority=10, connection=lent))


def _defer(conn: Connection, deferrer: object, **arguments: int) -> None:
    job = deferrer.job  # type: ignore[attr-defined]
    try:
        with conn.begin_nested():  # a duplicate breaks the transaction unless a savepoint holds it
            deferrer.defer(**arguments)  # type: ignore[attr-defined]
    except exceptions.AlreadyEnqueued:
        # The one that waits may wait for a later time than this one asks for.
        conn.execute(
            text(
                "UPDATE procrastinate_jobs SET scheduled_at = :at, priority = greatest(priority, :priority) "
                "WHERE queueing_lock = :key AND status = 'todo'"
            ),
            {"at": job.scheduled_at, "priority": job.priority, "key": job.queueing_lock},
        )


def resume(db: Database) -> int:
    """Make jobs for everything that waits: a job whose last word was lost must not leave its episode lying."""
    with db.begin() as conn:
        waiting = episodes.wakeups(conn)
        wake(conn, waiting)
    return len(waiting)


def rescue(db: Database) -> int:
    """Let jobs of dead workers run again. To be called in one process only. Returns how many."""
    return asyncio.run(_rescue(db))


async def _rescue(db: Database) -> int:
    app = App(connector=PsycopgConnector(conninfo=db.conninfo, min_size=1, max_size=2))
    async with app.open_async():
        stalled = list(await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALE_S))
        for job in stalled:
            await _revive(app, job)
        await app.job_manager.prune_stalled_workers(2 * STALE_S)
    return len(stalled)


async def _revive(app: App, job: Job) -> None:
    # An episode's starts are capped by its own count; a chore has none, so its job's is used.
    if not (job.task_kwargs.get("episode_id") is None and job.attempts >= CHORE_STARTS):
        try:
            await app.job_manager.retry_job(job)
        except exceptions.UniqueViolation:
            # Another job for it waits already and is its next start; that is no failure for anybody to look at.
            await app.job_manager.finish_job(job, status=Status.ABORTED, delete_job=False)
            log.warning("job %s (%s) of a worker that died: another one that waits goes on", job.id, job.call_string)
        else:
            log.warning("job %s (%s) of a worker that died runs again", job.id, job.call_string)
        return
    await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=False)


def prune(db: Database, *, hours: int = 7 * 24) -> None:
    """Delete finished jobs; failed ones stay, they are what an operator looks at."""

    async def run() -> None:
        app = App(connector=PsycopgConnector(conninfo=db.conninfo, min_size=1, max_size=2))
        async with app.open_async():
            await app.job_manager.delete_old_jobs(nb_hours=hours, include_aborted=True)

    asyncio.run(run())


class QueueEngine:
    """A worker for some queues: each stage is one, and so is each chore."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        stages: Sequence[Stage],
        report: Report | None = None,
        chores: Mapping[str, Callable[[], None]] | None = None,
    ):
        self.db = db
        self.clock = clock
        self.stages = tuple(stages)
        self.chores = dict(chores or {})
        self._report: Report = report or (lambda _stage, _id, _outcome: None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._asked: asyncio.Event | None = None

    def wake(self) -> None:
        """Nothing to do: PostgreSQL notifies the workers."""

    def stop(self) -> None:
        """Take up nothing new; what is in flight ends first."""
        self._stopping = True
        if self._loop is not None and self._asked is not None:
            self._loop.call_soon_threadsafe(self._asked.set)

    def run(self, *, until_idle: bool) -> None:
        """Work until stopped, or until the queues hold nothing that may run now. Raises DatabaseAwayError."""
        try:
            asyncio.run(self._run(until_idle=until_idle))
        except (exceptions.ConnectorException, OSError) as e:
            why = str(e.__cause__ or e)
            if "procrastinate_jobs_worker_id_fkey" in why:
                # It stood still for so long that it was taken for dead; what it had in hand, others have by now.
                hint = "start it again; a machine that is this slow wants fewer workers"
                raise DatabaseAwayError(
                    "This worker was taken for dead", why="it stood still too long", hint=hint
                ) from e
            raise DatabaseAwayError("The job queue's database went away", why=why) from e

    async def _run(self, *, until_idle: bool) -> None:
        self._loop, self._asked = asyncio.get_running_loop(), asyncio.Event()
        if self._stopping:
            return
        queues = {s.name: s.slots for s in self.stages} | dict.fromkeys(self.chores, 1)
        app = App(connector=PsycopgConnector(conninfo=self.db.conninfo, min_size=1, max_size=3 * len(queues) + 2))
        with ThreadPoolExecutor(sum(queues.values()) + 1, thread_name_prefix="stage") as pool:
            for stage in self.stages:
                self._register(app, pool, stage.name, partial(self._one, stage))
            for name, chore in self.chores.items():
                self._register(app, pool, name, chore)
            async with app.open_async():
                while True:
                    ran = self._ran = 0
                    await self._workers(app, queues, wait=not until_idle)
                    ran = self._ran
                    # A stage that ended has made work for the next one, whose worker may have gone home before.
                    if not until_idle or not ran or self._stopping:
                        return

    def _register(self, app: App, pool: ThreadPoolExecutor, name: str, work: Callable[..., None]) -> None:
        loop = asyncio.get_running_loop()

        def worked(job_id: int | None, arguments: dict[str, int]) -> None:
            with about(job=job_id):
                work(**arguments)

        async def run(context: JobContext, /, **arguments: int) -> None:
            self._ran += 1
            await loop.run_in_executor(pool, worked, context.job.id, arguments)

        app.task(name=name, queue=name, retry=AGAIN, pass_context=True)(run)

    async def _workers(self, app: App, queues: Mapping[str, int], *, wait: bool) -> None:
        assert self._asked is not None
        tasks = [
            asyncio.create_task(
                app.run_worker_async(
                    queues=[name],
                    name=name,
                    concurrency=slots,
                    wait=wait,
                    listen_notify=wait,
                    install_signal_handlers=False,
                    stalled_worker_timeout=STALE_S,
                )
            )
            for name, slots in queues.items()
        ]
        asked = asyncio.create_task(self._asked.wait())
        try:
            ends: set[asyncio.Future[Any]] = {*tasks} if wait else {asyncio.gather(*tasks, return_exceptions=True)}
            await asyncio.wait(ends | {asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            early = [t for t in tasks if t.done()]
            for t in tasks:
                t.cancel()  # which lets its running jobs end
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        broken = [e for e in ended if isinstance(e, Exception)]
        if broken:
            raise broken[0]
        if wait and early and not self._stopping:
            # A worker that ends by itself has lost its database and would be alive without working.
            raise DatabaseAwayError("A worker of the job queue ended by itself", hint="start it again")

    def _one(self, stage: Stage, episode_id: int) -> None:
        with self.db.alone(f"{stage.name}:{episode_id}") as mine:
            if not mine:
                return  # another worker is at it: this is a second wake-up for the same work
            with self.db.begin() as conn:
                now = self.clock.now()
                if not episodes.may_run(conn, episode_id, stage.name, now + SKEW):
                    waiting = [w for w in episodes.wakeups(conn, [episode_id]) if w.stage == stage.name]
                    # Where our clock lags, the job would be due again at once, and again, until our clock is there.
                    there = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
                    wake(conn, [w if w.at is None else replace(w, at=there + (w.at - now)) for w in waiting])
                    return
            self._report(stage.name, episode_id, "start")
            self._report(stage.name, episode_id, step(self.db, self.clock, stage, episode_id))
