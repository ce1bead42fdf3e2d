"""Removing a feed: everything of it goes, and nothing of it ever returns to a subscriber."""

from datetime import timedelta

from pipeline.clock import FixedClock
from pipeline.digest.compose import build, compose
from pipeline.settings import Settings
from pipeline.store import digests, episodes, feeds, insights, subscribers
from pipeline.store.database import Database
from tests.fakes.rows import add_insights, add_subscriber


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def test_a_removed_feed_leaves_digest_and_ledger(db: Database, settings: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        add_insights(conn, clock.now(), ["A claim that was sent."])
        who = add_subscriber(conn, clock.now())
        made = build(conn, who, settings, never, clock.now())
        assert made is not None
    with db.begin() as conn:
        feeds.remove(conn, 1)
    with db.begin() as conn:
        assert feeds.listed(conn) == [] and episodes.counts(conn) == {}
        assert "A claim that was sent." in digests.get(conn, made)["text"]
        assert [h.text for h in insights.had(conn, who.id)] == ["A claim that was sent."]
        add_insights(conn, clock.now(), ["A claim that was sent."], n=2)
        (who,) = subscribers.listed(conn)
        assert compose(conn, who, settings, never, clock.now() + timedelta(days=1)).issue.items == ()
