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
from pipeline.store import episodes
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
    with db.begin() as conn:
        starts = episodes.start(conn, episode_id, stage.name)
    if starts is None:
        return "stale"
    if starts > stage.retries + 1:
        # The starts are counted before the work: a job that kills its process ends here, visible.
        return _fail(db, stage, episode_id, f"gave up after {starts - 1} starts that did not finish")
    try:
        done = stage.run(episode_id)
        moved = _commit(db, stage, episode_id, done)
    except DatabaseAwayError:
        raise  # not the episode's fault: nothing is written, and the engine says what happens now
    except PermanentError as e:
        return _fail(db, stage, episode_id, str(e))
    except WaitingError as e:
        return _put_off(db, clock, stage, episode_id, e.retry_after_s or WAIT_S, str(e), counts=False)
    except TransientError as e:
        return _retry(db, clock, stage, episode_id, starts, str(e), e.retry_after_s)
    except Exception as e:
        log.exception("stage %s of episode %s broke", stage.name, episode_id)
        text = str(e) if isinstance(e, PodsiftError) else f"{type(e).__name__}: {e}"
        return _retry(db, clock, stage, episode_id, starts, text, None)
    if done.after and moved:
        done.after()
    return "done" if moved else "stale"


def _commit(db: Database, stage: Stage, episode_id: int, done: Done) -> bool:
    """Write the work and move the stage. An outage of a minute must not cost an hour of transcription."""
    for wait in (*COMMIT_AGAIN_S, None):
        try:
            with db.begin() as conn:
                done.write(conn)
                return episodes.advance(conn, episode_id, stage.name, stage.next)
        except DatabaseAwayError as e:
            if wait is None:
                raise
            log.warning("episode %s: %s; its work is kept and written again in %s s", episode_id, e, wait)
            time.sleep(wait)
    raise AssertionError("unreachable")


def _fail(db: Database, stage: Stage, episode_id: int, error: str) -> str:
    with db.begin() as conn:
        episodes.advance(conn, episode_id, stage.name, "failed", error=f"{stage.name}: {error}"[:2000])
    log.warning("episode %s failed at %s: %s", episode_id, stage.name, error)
    return "failed"


def _retry(
    db: Database, clock: Clock, stage: Stage, episode_id: int, starts: int, error: str, asked_s: float | None
) -> str:
    if starts > stage.retries:
        return _fail(db, stage, episode_id, error)
    wait = asked_s or RETRY_S[min(starts, len(RETRY_S)) - 1] * random.uniform(1, 1.2)  # noqa: S311 - jitter
    return _put_off(db, clock, stage, episode_id, wait, error, counts=True)


def _put_off(
    db: Database, clock: Clock, stage: Stage, episode_id: int, wait_s: float, error: str, *, counts: bool
) -> str:
    at = clock.now() + timedelta(seconds=wait_s)
    with db.begin() as conn:
        episodes.put_off(conn, episode_id, stage.name, at, f"{stage.name}: {error}"[:2000], counts=counts)
    log.info("episode %s waits at %s until %s: %s", episode_id, stage.name, at, error)
    return "retry" if counts else "waits"
