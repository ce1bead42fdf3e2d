"""One stage of one episode: moves by compare-and-set, retries, waits, gives up visibly."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from pipeline.clock import FixedClock
from pipeline.engine.local import LocalEngine
from pipeline.engine.step import Done, Stage, step
from pipeline.errors import PermanentError, TransientError, WaitingError
from pipeline.store import episodes
from pipeline.store.database import Database
from tests.fakes.rows import add_episode


def fine(_conn: Connection) -> None:
    return None


def stage(run: Callable[[int], Done], retries: int = 2) -> Stage:
    return Stage("download", run, "transcribe", 1, retries)


def add(db: Database, clock: FixedClock, n: int = 1) -> int:
    with db.begin() as conn:
        return add_episode(conn, clock.now(), n=n)


def row(db: Database, episode_id: int) -> dict[str, object]:
    with db.begin() as conn:
        return episodes.get(conn, episode_id)


def raises(e: Exception) -> Callable[[int], Done]:
    def run(_id: int) -> Done:
        raise e

    return run


def test_done_moves_on_and_resets_the_count(db: Database, clock: FixedClock) -> None:
    i = add(db, clock)
    assert step(db, clock, stage(lambda _id: Done(fine)), i) == "done"
    assert (row(db, i)["stage"], row(db, i)["attempts"]) == ("transcribe", 0)


def test_a_stale_job_leaves(db: Database, clock: FixedClock) -> None:
    i = add(db, clock)
    step(db, clock, stage(lambda _id: Done(fine)), i)
    assert step(db, clock, stage(raises(AssertionError("must not run"))), i) == "stale"


def test_transient_is_retried_then_failed(db: Database, clock: FixedClock) -> None:
    i = add(db, clock)
    s = stage(raises(TransientError("slow", retry_after_s=5)))
    assert [step(db, clock, s, i) for _ in range(3)] == ["retry", "retry", "failed"]
    assert row(db, i)["stage"] == "failed" and "slow" in str(row(db, i)["error"])


def test_permanent_fails_at_once_and_retry_brings_it_back(db: Database, clock: FixedClock) -> None:
    i = add(db, clock)
    assert step(db, clock, stage(raises(PermanentError("no audio"))), i) == "failed"
    with db.begin() as conn:
        assert episodes.retry(conn, i) == "download"
    assert step(db, clock, stage(lambda _id: Done(fine)), i) == "done"


def test_waiting_counts_no_attempt(db: Database, clock: FixedClock) -> None:
    i = add(db, clock)
    s = stage(raises(WaitingError("the model is away")))
    assert {step(db, clock, s, i) for _ in range(10)} == {"waits"}
    assert row(db, i)["attempts"] == 0
    with db.begin() as conn:
        assert episodes.waiting(conn, "download", clock.now()) == []
        assert episodes.waiting(conn, "download", clock.now() + timedelta(minutes=6)) == [i]


def test_a_job_that_kills_its_process_ends_as_failed(db: Database, clock: FixedClock) -> None:
    i = add(db, clock)

    def dies(_id: int) -> Done:
        raise KeyboardInterrupt  # like kill -9: nothing after it is written

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            step(db, clock, stage(dies), i)
    assert step(db, clock, stage(dies), i) == "failed"
    assert "did not finish" in str(row(db, i)["error"])


def test_the_writes_and_the_move_commit_together(db: Database, clock: FixedClock) -> None:
    i = add(db, clock)

    def write(conn: Connection) -> None:
        episodes.note(conn, i, {"title": "half"})
        raise RuntimeError("between write and move")

    assert step(db, clock, stage(lambda _id: Done(write)), i) == "retry"
    assert row(db, i)["title"] == "Episode 1"


def test_the_engine_runs_all_and_one_poison_item_stops_nobody(db: Database, clock: FixedClock) -> None:
    ids = [add(db, clock, n) for n in range(20)]

    def first(i: int) -> Done:
        if i == ids[3]:
            raise PermanentError("poison")
        return Done(fine)

    stages = [Stage("download", first, "transcribe", 3, 1), Stage("transcribe", lambda _i: Done(fine), "done", 2, 1)]
    LocalEngine(db, clock, stages).run(until_idle=True, look_s=0.05)
    with db.begin() as conn:
        assert episodes.counts(conn) == {"done": 19, "failed": 1}
