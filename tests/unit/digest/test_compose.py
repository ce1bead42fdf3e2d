"""Building a digest: all of it or nothing, once a local day, never an idea twice."""

from datetime import timedelta

from sqlalchemy import select as sql

from pipeline.clock import FixedClock
from pipeline.digest.compose import build, compose
from pipeline.settings import Settings
from pipeline.store import digests, outbox, subscribers
from pipeline.store.database import Database
from pipeline.store.tables import ledger
from tests.fakes.rows import add_insights, add_subscriber


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def test_once_a_day_and_never_twice(db: Database, settings: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        for k in range(6):
            add_insights(conn, clock.now(), [f"Claim {k} about topic {k}."], show=k, n=k, scores=[k / 10])
        who = add_subscriber(conn, clock.now())
        first = build(conn, who, settings, never, clock.now())
        assert first is not None
        assert build(conn, who, settings, never, clock.now()) is None
        clock.at += timedelta(days=1)
        (who,) = subscribers.due(conn, clock.now())
        second = build(conn, who, settings, never, clock.now())
        assert second is not None
        had = [r.insight_id for r in conn.execute(sql(ledger).order_by(ledger.c.insight_id))]
        assert len(had) == len(set(had)) == 6
        assert outbox.counts(conn) == {"queued": 2}
        assert "thin day" in digests.get(conn, second)["thin_reason"]


def test_nothing_new_is_no_mail(db: Database, settings: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        who = add_subscriber(conn, clock.now())
        assert build(conn, who, settings, never, clock.now()) is None
        assert outbox.counts(conn) == {}
        assert subscribers.due(conn, clock.now()) == []


def test_future_dated_and_old_episodes_wait(db: Database, settings: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        add_insights(conn, clock.now() + timedelta(days=3), ["From the future."], n=1)
        add_insights(conn, clock.now() - timedelta(days=9), ["From long ago."], n=2)
        who = add_subscriber(conn, clock.now())
        assert compose(conn, who, settings, never, clock.now()).issue.items == ()
