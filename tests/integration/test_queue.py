"""The job queue on a real PostgreSQL: nothing lost, nothing done twice at once, through kills and an outage."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.clock import FixedClock, SystemClock
from pipeline.engine import queue
from pipeline.engine.queue import QueueEngine
from pipeline.engine.step import Done, Stage
from pipeline.engine.ticks import keep
from pipeline.errors import TransientError
from pipeline.store import episodes, health
from pipeline.store.database import Database
from tests.fakes import crew
from tests.fakes.rows import add_episode

pytestmark = pytest.mark.postgres
NOW = SystemClock().now()


def add(db: Database, count: int, **changes: object) -> list[int]:
    with db.begin() as conn:
        ids = [add_episode(conn, NOW, n=n) for n in range(count)]
        for i in ids if changes else ():
            episodes.note(conn, i, changes)
    return ids


def jobs(db: Database, where: str = "true") -> list[tuple[object, ...]]:
    with db.begin() as conn:
        query = f"SELECT task_name, status::text, priority, args FROM procrastinate_jobs WHERE {where} ORDER BY id"
        return [tuple(r) for r in conn.execute(text(query))]


def counts(db: Database) -> dict[str, int]:
    with db.begin() as conn:
        return episodes.counts(conn)


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)


@contextmanager
def worker(db: Database, trace: Path, seconds: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-P", crew.__file__, db.url, str(trace), str(seconds)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_a_job_is_part_of_the_transaction_that_makes_the_work(pg: Database) -> None:
    with pytest.raises(ZeroDivisionError), pg.begin() as conn:
        add_episode(conn, NOW)
        raise ZeroDivisionError
    assert jobs(pg) == []
    (i,) = add(pg, 1)
    assert jobs(pg) == [("download", "todo", 0, {"episode_id": i})]


def test_thirty_wake_ups_are_one_job(pg: Database) -> None:
    (i,) = add(pg, 1)
    for _ in range(30):
        queue.resume(pg)
    queue.order(pg, "poll")
    queue.order(pg, "poll")
    assert [j[0] for j in jobs(pg)] == ["download", "poll"] and i


def test_all_stages_run_until_nothing_waits(pg: Database, tmp_path: Path) -> None:
    ids = add(pg, 8)
    trace = tmp_path / "trace"
    QueueEngine(pg, SystemClock(), crew.stages(pg, trace, 0)).run(until_idle=True)
    assert counts(pg) == {"done": 8}
    assert Counter(trace.read_text().split("\n"))[f"extract {ids[0]}"] == 1
    assert jobs(pg, "status <> 'succeeded'") == []


def test_fresh_episodes_run_before_backfill(pg: Database) -> None:
    order: list[int] = []
    ids = add(pg, 6)
    with pg.begin() as conn:
        for i in ids[:4]:
            episodes.note(conn, i, {"backfill": True})
        conn.execute(text("DELETE FROM procrastinate_jobs"))
    queue.resume(pg)

    def run(i: int) -> Done:
        order.append(i)
        return Done(lambda _conn: None)

    QueueEngine(pg, SystemClock(), [Stage("download", run, "done", 1, 0)]).run(until_idle=True)
    assert set(order[:2]) == set(ids[4:]) and len(order) == 6


def test_a_failed_start_is_put_off_and_can_be_brought_forward(pg: Database) -> None:
    (i,) = add(pg, 1)
    tries: list[int] = []

    def run(_id: int) -> Done:
        tries.append(1)
        if len(tries) == 1:
            raise TransientError("away", retry_after_s=3600)
        return Done(lambda _conn: None)

    engine = QueueEngine(pg, SystemClock(), [Stage("download", run, "done", 1, 3)])
    engine.run(until_idle=True)
    assert len(tries) == 1 and counts(pg) == {"download": 1}
    assert len(jobs(pg, "status = 'todo' AND scheduled_at > now() + interval '59 minutes'")) == 1
    with pg.begin() as conn:
        episodes.retry(conn, i)
    engine.run(until_idle=True)
    assert len(tries) == 2 and counts(pg) == {"done": 1}


def test_a_worker_whose_clock_lags_puts_a_job_back_once(pg: Database) -> None:
    """Due by the database's clock, not by its own: put back by the difference, instead of coming again at once."""
    (i,) = add(pg, 1)
    late = FixedClock(SystemClock().now() - timedelta(minutes=5))
    with pg.begin() as conn:
        episodes.put_off(conn, i, "download", late.now() + timedelta(minutes=4), "away", counts=True)
    starts: list[int] = []

    def run(_id: int) -> Done:
        starts.append(1)
        return Done(lambda _conn: None)

    engine = QueueEngine(pg, late, [Stage("download", run, "done", 1, 3)])
    engine.run(until_idle=True)
    assert starts == [] and counts(pg) == {"download": 1}
    soon = "scheduled_at BETWEEN now() + interval '3 minutes' AND now() + interval '5 minutes'"
    assert len(jobs(pg, f"status = 'todo' AND {soon}")) == 1 and len(jobs(pg, "status = 'succeeded'")) == 1
    late.at = SystemClock().now()
    with pg.begin() as conn:
        conn.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"))
    engine.run(until_idle=True)
    assert starts == [1] and counts(pg) == {"done": 1}


def test_a_second_wake_up_for_work_in_hand_leaves(pg: Database) -> None:
    (i,) = add(pg, 1)
    starts: list[int] = []

    def run(_id: int) -> Done:
        starts.append(1)
        queue.resume(pg)  # the running job holds no queueing lock, so this makes another one
        time.sleep(0.5)
        return Done(lambda _conn: None)

    QueueEngine(pg, SystemClock(), [Stage("download", run, "done", 3, 3)]).run(until_idle=True)
    assert starts == [1] and counts(pg) == {"done": 1} and i


def test_a_killed_worker_loses_nothing(pg: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "STALE_S", 1.0)  # heartbeats come every 10 s, so this takes live workers for dead too
    add(pg, 12)
    trace = tmp_path / "trace"
    with worker(pg, trace, 0.3) as first:
        wait_for(lambda: trace.exists() and len(trace.read_text().splitlines()) > 5)
        first.kill()
        first.wait()
    assert counts(pg).get("done", 0) < 12 and jobs(pg, "status = 'doing'") != []
    time.sleep(1.1)
    assert queue.rescue(pg) > 0
    QueueEngine(pg, SystemClock(), crew.stages(pg, trace, 0)).run(until_idle=True)
    assert counts(pg) == {"done": 12}


def test_a_killed_job_whose_twin_waits_is_no_failure_and_counts_as_begun_again(
    pg: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "STALE_S", 1.0)
    add(pg, 4)
    trace = tmp_path / "trace"
    with worker(pg, trace, 5) as first:
        wait_for(lambda: trace.exists() and bool(trace.read_text()))
        first.kill()
        first.wait()
    queue.resume(pg)  # as a clock does when it starts
    time.sleep(1.1)
    assert queue.rescue(pg) > 0
    assert jobs(pg, "status = 'failed'") == [] and jobs(pg, "status = 'aborted'") != []
    with pg.begin() as conn:
        assert health.begun_again(conn, 1) > 0
    QueueEngine(pg, SystemClock(), crew.stages(pg, trace, 0)).run(until_idle=True)
    assert counts(pg) == {"done": 4}


def test_what_kills_its_worker_ends_as_failed(pg: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "STALE_S", 0.2)
    add(pg, 1, title=crew.POISON)
    trace = tmp_path / "trace"
    for _ in range(6):
        if counts(pg) == {"failed": 1}:
            break
        with worker(pg, trace) as process:
            wait_for(lambda p=process: p.poll() is not None or counts(pg) == {"failed": 1})  # type: ignore[misc]
        time.sleep(0.3)
        queue.rescue(pg)
    assert counts(pg) == {"failed": 1}
    assert len(trace.read_text().splitlines()) == 3  # retries=2
    with pg.begin() as conn:
        assert "gave up after 3 starts" in str(episodes.listed(conn)[0]["error"])


def test_a_chore_runs_and_a_broken_one_is_tried_again(pg: Database) -> None:
    ran: list[str] = []

    def poll() -> None:
        ran.append("poll")

    def digest() -> None:
        ran.append("digest")
        raise TransientError("away")

    for chore in ("poll", "digest"):
        queue.order(pg, chore)
    QueueEngine(pg, SystemClock(), [], chores={"poll": poll, "digest": digest}).run(until_idle=True)
    assert sorted(ran) == ["digest", "poll"]
    assert [j[0] for j in jobs(pg, "status = 'succeeded'")] == ["poll"]
    assert [j[0] for j in jobs(pg, "status = 'todo' AND attempts = 1 AND scheduled_at > now()")] == ["digest"]


def test_lost_connections_end_the_worker_so_that_it_is_started_again(pg: Database, tmp_path: Path) -> None:
    with worker(pg, tmp_path / "trace") as process:
        wait_for(lambda: bool(_workers(pg)))
        with pg.begin() as conn:
            conn.execute(text("ALTER DATABASE " + str(pg.engine.url.database) + " CONNECTION LIMIT 0"))
        with pg.begin() as conn:
            conn.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        with pg.begin() as conn:
            conn.execute(text("ALTER DATABASE " + str(pg.engine.url.database) + " CONNECTION LIMIT -1"))
        add(pg, 3)
        # Either it came through, or it ended: alive without working is what must not be.
        wait_for(lambda: process.poll() is not None or counts(pg) == {"done": 3}, 90)
        if process.poll() is not None:
            assert process.returncode != 0
            queue.resume(pg)
            QueueEngine(pg, SystemClock(), crew.stages(pg, tmp_path / "trace", 0)).run(until_idle=True)
    assert counts(pg) == {"done": 3}


def _workers(db: Database) -> list[object]:
    with db.begin() as conn:
        return list(conn.execute(text("SELECT id FROM procrastinate_workers")).scalars())


def test_one_clock_orders_and_the_second_takes_over(pg: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engine.ticks.LOOK_S", 0.1)
    said: list[str] = []
    stops = [threading.Event(), threading.Event()]
    threads = [
        threading.Thread(target=keep, args=(pg, SystemClock(), stops[k], lambda s, k=k: said.append(f"{k} {s}")))
        for k in (0, 1)
    ]
    threads[0].start()
    wait_for(lambda: said == ["0 this is the clock"])
    wait_for(lambda: {j[0] for j in jobs(pg)} == {"poll", "digest"})
    threads[1].start()
    wait_for(lambda: len(said) == 2)
    assert said[1] == "1 another clock is at work; this one stands by"
    stops[0].set()
    threads[0].join()
    wait_for(lambda: said[-1] == "1 this is the clock")
    stops[1].set()
    threads[1].join()
    assert len(jobs(pg, "status = 'todo'")) == 2


def test_a_future_episode_is_released_by_the_clock(pg: Database) -> None:
    (i,) = add(pg, 1, stage="future", published=NOW - timedelta(minutes=1))
    with pg.begin() as conn:
        conn.execute(text("DELETE FROM procrastinate_jobs"))
        assert episodes.release_future(conn, NOW) == 1
    assert jobs(pg) == [("download", "todo", 0, {"episode_id": i})]
