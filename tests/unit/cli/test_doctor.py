"""What doctor says of processes and clocks: each trouble, and nothing of it while all is well."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import text

from pipeline.cli import doctor
from pipeline.clock import Clock, FixedClock, SystemClock
from pipeline.store import polls
from pipeline.store.database import Database
from tests.conftest import NOW


def app(tmp_path: Path, clock: Clock) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(data_dir=tmp_path), clock=clock)


def test_a_clock_that_is_wrong_is_told_from_the_databases(pg: Database, tmp_path: Path) -> None:
    now = SystemClock().now()
    assert doctor.check_time(app(tmp_path, FixedClock(now)), pg)[0] == "ok"
    for wrong, said in ((-3600, "60 min behind"), (300, "5 min ahead of"), (40, "40 s ahead of"), (10, "")):
        at = SystemClock().now() + timedelta(seconds=wrong)
        result, says = doctor.check_time(app(tmp_path, FixedClock(at)), pg)
        assert result == ("warn" if said else "ok") and said in says, says


def test_what_is_dated_in_the_future_is_seen_on_either_database(db: Database, tmp_path: Path) -> None:
    late = app(tmp_path, FixedClock(SystemClock().now()))
    assert doctor.check_time(late, db)[0] == "ok"
    row = {"status": 304, "bytes": 0, "seconds": 0.1, "new": 0, "changed": 0, "why": "-"}
    with db.begin() as conn:
        conn.execute(
            text("INSERT INTO feed (url, state, error_count, added_at) VALUES ('u', 'active', 0, '2026-01-01 00:00')")
        )
        polls.add(conn, [row | {"feed_id": 1, "at": late.clock.now() + timedelta(hours=3)}])
    result, says = doctor.check_time(late, db)
    assert result == "warn" and "3 h in the future" in says


def test_workers_that_are_silent_jobs_begun_again_and_clocks_that_stand_by(pg: Database, tmp_path: Path) -> None:
    me = app(tmp_path, FixedClock(NOW))
    assert "not at work" in doctor.check_processes(me, pg)[1]
    with pg.begin() as conn:
        conn.execute(text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())"))
    with pg.present("clock"), pg.present("clock"), pg.alone("clock"):
        result, says = doctor.check_processes(me, pg)
        assert result == "ok" and "1 queues are listened to" in says and "at work, 1 more stands by" in says
        with pg.begin() as conn:
            old = "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '40 seconds')"
            conn.execute(text(old))
        result, says = doctor.check_processes(me, pg)
        assert result == "warn" and "1 queues' workers were not heard of for 30 s" in says
        with pg.begin() as conn:
            conn.execute(text("DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - interval '9 s'"))
            job = (
                "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('q', 't', 'doing') RETURNING id"
            )
            made = conn.execute(text(job)).scalar_one()
            conn.execute(text("UPDATE procrastinate_jobs SET status = 'todo' WHERE id = :i"), {"i": made})
        result, says = doctor.check_processes(me, pg)
        assert result == "warn" and "1 jobs were begun again in 24 hours" in says
    assert "not at work" in doctor.check_processes(me, pg)[1], "and nobody is left in the count"
