"""Building what is due: one person's trouble stops nobody else's digest, an outage stops all of them."""

from __future__ import annotations

import pytest

from pipeline.clock import FixedClock
from pipeline.digest import compose, work
from pipeline.errors import DatabaseAwayError, PodsiftError
from pipeline.settings import Settings
from pipeline.store import subscribers
from pipeline.store.database import Database
from tests.conftest import NOW
from tests.fakes.rows import add_insights, add_subscriber


@pytest.fixture
def two(db: Database) -> Database:
    with db.begin() as conn:
        add_insights(conn, NOW, ["Teams that write decisions down reverse fewer of them."])
        for email in ("ada@example.org", "bob@example.org"):
            add_subscriber(conn, NOW, email=email)
    return db


def breaks_for_ada(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = compose.build

    def build(conn, who, *rest):  # type: ignore[no-untyped-def]
        if who.email.startswith("ada"):
            raise error
        return real(conn, who, *rest)

    monkeypatch.setattr(work, "build", build)


@pytest.mark.parametrize(("error", "says"), [(PodsiftError("no"), "no"), (ValueError("odd"), "ValueError: odd")])
def test_one_persons_failure_stops_nobody_elses(
    two: Database, settings: Settings, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    breaks_for_ada(monkeypatch, error)
    made = work.build_due(two, settings, clock, all_=True)
    assert made.failed == {"ada@example.org": says} and len(made.digests) == 1
    monkeypatch.undo()
    again = work.build_due(two, settings, clock, all_=True)
    assert not again.failed and len(again.digests) == 1, "hers is built when the trouble is over, his not twice"


def test_an_outage_is_nobodys_failure(
    two: Database, settings: Settings, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks_for_ada(monkeypatch, DatabaseAwayError("away"))
    with pytest.raises(DatabaseAwayError):
        work.build_due(two, settings, clock, all_=True)
    with two.begin() as conn:
        assert all(p.last_digest_date is None for p in subscribers.listed(conn))
