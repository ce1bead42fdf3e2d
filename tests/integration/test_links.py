"""From a new episode to links, and from links to what a digest may carry, on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import update

from pipeline.clock import FixedClock
from pipeline.digest.compose import build, compose
from pipeline.engine.step import step
from pipeline.errors import WaitingError
from pipeline.insight.judge import Judge, Pair, Verdict, WordsJudge
from pipeline.insight.relate import GATE, same_reason
from pipeline.insight.toolbox import Toolbox
from pipeline.settings import Settings
from pipeline.stages import Workshop
from pipeline.store import episodes, insights, links, subscribers
from pipeline.store.database import Database
from pipeline.store.tables import insight
from pipeline.store.vectors import NumpyVectors, vectors
from tests.conftest import NOW
from tests.fakes.rows import add_insights, add_subscriber

OLD = "A bakery that bakes its last batch late cut its waste from 14 percent to 5, the owner said."
NEW = "A year on the bakery with the late batch is back at 9 percent, because regulars now come earlier."
HAD = "You had “A bakery that bakes its last batch late” (Show 1, 17 November 2026)."


class Fixed:
    """Says the same of every pair, and remembers what it was asked."""

    name = "fixed"
    gate = GATE

    def __init__(self, verdict: Verdict | Exception):
        self.verdict, self.asked = verdict, list[Pair]()

    def decide(self, pairs: Sequence[Pair]) -> list[Verdict]:
        if isinstance(self.verdict, Exception):
            raise self.verdict
        self.asked += pairs
        return [self.verdict] * len(pairs)


def two(db: Database, cosine: float = 0.8) -> tuple[int, int]:
    """An earlier insight of show 1 and a newer one of show 2, so near; the newer's episode waits at `relate`."""
    with db.begin() as conn:
        (old,) = add_insights(conn, NOW - timedelta(days=2), [OLD], show=1, n=1)
        (new,) = add_insights(conn, NOW, [NEW], show=2, n=2)
        for k, i in enumerate((old, new)):
            v = np.zeros(384, np.float32)
            v[0], v[1] = (1.0, 0.0) if k == 0 else (cosine, float(np.sqrt(1 - cosine**2)))
            conn.execute(update(insight).where(insight.c.id == i).values(vector=v.tobytes()))
        assert episodes.advance(conn, 2, "done", "relate")
    return old, new


def relate(db: Database, settings: Settings, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(Toolbox, "judge", judge)
    clock = FixedClock(NOW)
    stage = next(s for s in Workshop(settings, db, clock).stages() if s.name == "relate")
    return step(db, clock, stage, 2)


def test_a_pair_past_the_gate_is_judged_and_kept(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = two(db)
    judge = Fixed(Verdict("extends", "because"))
    assert relate(db, settings, judge, monkeypatch) == "done"
    assert [(p.newer.text, p.earlier.text) for p in judge.asked] == [(NEW, OLD)]
    with db.begin() as conn:
        assert episodes.get(conn, 2)["stage"] == "done"
        ((link, other),) = links.related(conn, new)
        assert (link.kind, link.reason, link.judge, other.id) == ("extends", "because", "fixed", old)
        assert abs(link.cosine - 0.8) < 1e-5
        ((back, other),) = links.related(conn, old)
        assert (back, other.id) == (link, new)


def test_what_is_not_near_is_not_asked(db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    two(db, cosine=0.3)
    judge = Fixed(Verdict("same", "x"))
    assert relate(db, settings, judge, monkeypatch) == "done"
    assert judge.asked == []


def test_a_judge_that_is_away_makes_the_episode_wait(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(db)
    assert relate(db, settings, Fixed(WaitingError("the model is away")), monkeypatch) == "waits"
    with db.begin() as conn:
        row = episodes.get(conn, 2)
    assert row["stage"] == "relate" and "the model is away" in row["error"]


@pytest.mark.parametrize(
    ("verdict", "items"),
    [
        (Verdict("same", "judged"), []),
        (Verdict("extends", "judged"), [("new", None)]),
        (Verdict("disputes", "judged"), [("new", None)]),
        (
            Verdict("update", "judged", "It is back at 9 percent."),
            [("update", f"{HAD} It is back at 9 percent.")],
        ),
        (
            Verdict("update", "judged"),
            [("update", HAD)],
        ),
    ],
)
def test_a_returning_idea_comes_only_as_an_update(
    db: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    verdict: Verdict,
    items: list[tuple[str, str | None]],
) -> None:
    old, new = two(db)
    with db.begin() as conn:
        who = add_subscriber(conn, NOW)
        conn.execute(update(insight).where(insight.c.id == old).values(title="A bakery that bakes its last batch late"))
        assert build(conn, who, settings, same_reason, NOW - timedelta(days=1)) is not None
    relate(db, settings, Fixed(verdict), monkeypatch)
    with db.begin() as conn:
        (who,) = subscribers.listed(conn)
        made = compose(conn, who, settings, same_reason, NOW)
    assert [(i.kind, i.reason) for i in made.issue.items] == items
    assert all(i.insight.id == new for i in made.issue.items)
    if verdict.kind == "update":
        assert "Update" in made.rendered.html and "Update: " in made.rendered.text


def test_in_one_digest_an_update_and_what_it_updates_are_one_idea(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(db)
    relate(db, settings, Fixed(Verdict("same", "judged")), monkeypatch)
    with db.begin() as conn:
        who = add_subscriber(conn, NOW)
        made = compose(conn, who, settings, same_reason, NOW)
    assert len(made.issue.items) == 1
    assert [left.reason for left in made.selection.left] == ["says what a better one says: judged"]


def test_links_go_with_their_insights_and_a_second_run_replaces_them(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = two(db)
    relate(db, settings, Fixed(Verdict("extends", "first")), monkeypatch)
    with db.begin() as conn:
        episodes.advance(conn, 2, "done", "relate")
    relate(db, settings, WordsJudge(), monkeypatch)
    with db.begin() as conn:
        ((link, _),) = links.related(conn, new)
        assert (link.kind, link.judge) == ("related", "words")
        conn.execute(insight.delete().where(insight.c.id == old))
        assert links.related(conn, new) == []


def test_nearest_gives_the_same_on_both_databases(db: Database) -> None:
    with db.begin() as conn:
        for n in range(1, 5):
            add_insights(conn, NOW - timedelta(days=n), [f"Text {n}-{k}" for k in range(25)], show=n, n=n)
    with db.begin() as conn:
        asked = [c.vector for c in insights.with_vectors(conn, insight.c.episode_id == 1) if c.vector is not None][:5]
        since = NOW - timedelta(days=4, hours=1)
        found = vectors(conn).nearest(conn, asked, 7, since=since, not_of=1)
        exact = NumpyVectors().nearest(conn, asked, 7, since=since, not_of=1)
        assert [[n.insight_id for n in row] for row in found] == [[n.insight_id for n in row] for row in exact]
        assert all(len(row) == 7 for row in found)
        near, truth = [[n.cosine for n in row] for row in found], [[n.cosine for n in row] for row in exact]
        np.testing.assert_allclose(near, truth, atol=1e-5)
