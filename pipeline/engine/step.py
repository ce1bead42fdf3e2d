"""One stage of one episode, the same under every engine: count the start, run outside a transaction, commit once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from pipeline.clock import Clock
from pipeline.errors import DatabaseAwayError, PermanentError, PodsiftError, TransientError, WaitingError
from pipeline.logs import about
from pipeline.store import episodes, stage_runs
from pipeline.store.database import Database

log = logging.getLogger(__name__)

RETRY_S = (60, 600, 3600, 6 * 3600)
"""Waits after the first, second, ... failed start, each with up to a fifth of jitter."""
WAIT_S = 300
COMMIT_AGAIN_S = (1, 4, 15, 30, 60)
"""Waits between attempts to write finished work."""


@dataclass(frozen=True, slots=True)
class Done:
    """A stage's work: what to write, in the transaction that moves the stage column."""

    write: Callable[[Connection], None]
    after: Callable[[], None] | None = None
    """Runs once that is committed: deleting what is not needed any more."""
    audio_s: float | None = None
    """Seconds of audio that were worked through."""
    gpu: bool = False
    """Whether a GPU did the work."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of the stage table."""

    name: str
    run: Callable[[int], Done]
    next: str
    slots: int
    retries: int


def step(db: Database, clock: Clock, stage: Stage, episode_id: int) -> str:
    """Run one stage of one episode. Returns what became of it: `done`, `stale`, `retry`, `waits` or `failed`."""
    with about(episode=episode_id, stage=stage.name):
        return _step(_Run(db, clock, stage, episode_id))


@dataclass
class _Run:
    """One try of one stage of one episode."""

    db: Database
    clock: Clock
    stage: Stage
    episode_id: int

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    def note(self, conn: Connection, outcome: str, done: Done | None = None) -> None:
        """Keep how long it took, where the episode's row is written."""
        seconds = time.monotonic() - self._began
        audio_s, gpu = (done.audio_s, done.gpu) if done else (None, False)
        stage_runs.add(conn, self.episode_id, self.stage.name, self.clock.now(), seconds, outcome, audio_s, gpu)


def _step(run: _Run) -> str:
    db, stage, episode_id = run.db, run.stage, run.episode_id
    with db.begin() as conn:
        starts = episodes.start(conn, episode_id, stage.name)
    if starts is None:
        return "stale"
    if starts > stage.retries + 1:
        # The starts are counted before the work: a job that kills its process ends here, visible.
        return _fail(run, f"gave up after {starts - 1} starts that did not finish")
    try:
        done = stage.run(episode_id)
        moved = _commit(run, done)
    except DatabaseAwayError:
        raise  # not the episode's fault: nothing is written, and the engine says what happens now
    except PermanentError as e:
        return _fail(run, str(e))
    except WaitingError as e:
        return _put_off(run, e.retry_after_s or WAIT_S, str(e), counts=False)
    except TransientError as e:
        return _retry(run, starts, str(e), e.retry_after_s)
    except Exception as e:
        log.exception("stage %s of episode %s broke", stage.name, episode_id)
        text = str(e) if isinstance(e, PodsiftError) else f"{type(e).__name__}: {e}"
        return _retry(run, starts, text, None)
    if done.after and moved:
        done.after()
    return "done" if moved else "stale"


def _commit(run: _Run, done: Done) -> bool:
    """Write the work and move the stage. An outage of a minute must not cost an hour of transcription."""
    for wait in (*COMMIT_AGAIN_S, None):
        try:
            with run.db.begin() as conn:
                done.write(conn)
                moved = episodes.advance(conn, run.episode_id, run.stage.name, run.stage.next)
                run.note(conn, "done" if moved else "stale", done)
                return moved
        except DatabaseAwayError as e:
            if wait is None:
                raise
            log.warning("episode %s: %s; its work is kept and written again in %s s", run.episode_id, e, wait)
            time.sleep(wait)
    raise AssertionError("unreachable")


def _fail(run: _Run, error: str) -> str:
    with run.db.begin() as conn:
        error_ = f"{run.stage.name}: {error}"[:2000]
        episodes.advance(conn, run.episode_id, run.stage.name, "failed", error=error_)
        run.note(conn, "failed")
    log.warning("episode %s failed at %s: %s", run.episode_id, run.stage.name, error)
    return "failed"


def _retry(run: _Run, starts: int, error: str, asked_s: float | None) -> str:
    if starts > run.stage.retries:
        return _fail(run, error)
    wait = asked_s or RETRY_S[min(starts, len(RETRY_S)) - 1] * random.uniform(1, 1.2)  # noqa: S311 - jitter
    return _put_off(run, wait, error, counts=True)


def _put_off(run: _Run, wait_s: float, error: str, *, counts: bool) -> str:
    at = run.clock.now() + timedelta(seconds=wait_s)
    outcome = "retry" if counts else "waits"
    with run.db.begin() as conn:
        error_ = f"{run.stage.name}: {error}"[:2000]
        episodes.put_off(conn, run.episode_id, run.stage.name, at, error_, counts=counts)
        run.note(conn, outcome)
    log.info("episode %s waits at %s until %s: %s", run.episode_id, run.stage.name, at, error)
    return outcome
