"""What a wrong clock put off for years comes back; what waits as it should stays."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import insert, select, update

from pipeline.settings import Settings
from pipeline.store import episodes
from pipeline.store.database import Database
from pipeline.store.recall import recall
from pipeline.store.tables import episode, feed, host_hold, mail_hold, outbox, subscriber
from tests.conftest import NOW
from tests.fakes.rows import add_subscriber
from tests.unit.backup.test_backup import fill


def put_off(db: Database, by: timedelta) -> None:
    at = NOW + by
    with db.begin() as conn:
        conn.execute(update(episode).where(episode.c.stage == "download").values(retry_at=at))
        conn.execute(update(feed).values(next_poll_at=at))
        conn.execute(update(outbox).values(next_at=at, state="deferred"))
        conn.execute(update(subscriber).values(next_digest_at=at, last_digest_date=at.date().isoformat()))


def when(db: Database) -> set[datetime]:
    with db.begin() as conn:
        found = [
            *conn.execute(select(episode.c.retry_at).where(episode.c.stage == "download")).scalars(),
            *conn.execute(select(feed.c.next_poll_at)).scalars(),
            *conn.execute(select(outbox.c.next_at)).scalars(),
        ]
    return set(found)


def test_ten_years_are_brought_back(db: Database, settings: Settings) -> None:
    fill(db, settings)
    put_off(db, timedelta(days=3650))
    with db.begin() as conn:
        conn.execute(insert(mail_hold).values(server="s", until=NOW + timedelta(days=3650), why="w", strikes=1))
        conn.execute(insert(host_hold).values(host="h", until=NOW + timedelta(days=3650), why="w"))
    with db.begin() as conn:
        assert recall(conn, NOW) == {"episodes": 1, "feeds": 2, "mails": 1, "digests": 2}
        assert not conn.execute(select(mail_hold)).all() and not conn.execute(select(host_hold)).all()
        due = set(conn.execute(select(subscriber.c.next_digest_at)).scalars())
        assert all(NOW < at <= NOW + timedelta(days=1) for at in due)
        assert episodes.waiting(conn, "download", NOW)
    assert when(db) == {NOW}
    with db.begin() as conn:
        assert set(recall(conn, NOW).values()) == {0}


def test_what_waits_as_it_should_stays(db: Database, settings: Settings) -> None:
    fill(db, settings)
    with db.begin() as conn:
        add_subscriber(conn, NOW, "paused@example.org", state="paused", next_digest_at=NOW + timedelta(days=900))
    put_off(db, timedelta(hours=24))
    with db.begin() as conn:
        assert set(recall(conn, NOW).values()) == {0}
