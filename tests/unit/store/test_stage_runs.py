"""What is stuck: it could go on, and nothing has taken it up."""

from __future__ import annotations

from datetime import timedelta

from pipeline.store import episodes, stage_runs
from pipeline.store.database import Database
from tests.conftest import NOW
from tests.fakes.rows import add_episode

LATER = NOW + timedelta(hours=10)
SINCE = LATER - timedelta(hours=6)


def test_only_what_could_have_gone_on_is_stuck(db: Database) -> None:
    with db.begin() as conn:
        stuck, done, put_off, moving, old = (add_episode(conn, NOW, n=n) for n in range(1, 6))
        episodes.advance(conn, done, "download", "done")
        episodes.put_off(conn, put_off, "download", LATER + timedelta(hours=1), "away", counts=False)
        stage_runs.add(conn, moving, "download", LATER - timedelta(hours=1), 3.0, "waits")
        stage_runs.add(conn, stuck, "download", NOW, 3.0, "retry")
        episodes.note(conn, old, {"backfill": True})
        assert stage_runs.stuck(conn, SINCE) == [stuck]
        assert stage_runs.stuck(conn, NOW) == []
