"""What readers have had is read once for all of them, and only what could be chosen is compared with it."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from sqlalchemy import event

from pipeline.digest import past as pasts
from pipeline.digest import pool as pools
from pipeline.digest.past import Past, mine
from pipeline.digest.pool import Pool
from pipeline.digest.select import select
from pipeline.insight.relate import same_reason, text_key
from pipeline.records import DigestIssue, DigestItem
from pipeline.store import digests, insights
from pipeline.store.database import Database
from pipeline.store.insights import Candidate, Had
from tests.conftest import NOW
from tests.fakes.embedder import WordEmbedder
from tests.fakes.rows import add_insights, add_subscriber, stored


def candidate(i: int, text: str, score: float) -> Candidate:
    (vector,) = WordEmbedder().embed([text])
    return Candidate(stored(i, text, score, NOW, feed=i % 5), text_key(text), vector)


def had(i: int, text: str) -> Had:
    (vector,) = WordEmbedder().embed([text])
    return Had(i, text_key(text), text, vector)


def test_candidates_below_the_last_chosen_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    past = mine([had(900, "bread rises where letters sleep in a cold oven")])
    of = past.past.comparable

    def counted(c: Candidate, linked: dict[int, set[int]]) -> set[int]:
        asked.append(c.insight.id)
        return of(c, linked)

    monkeypatch.setattr(past.past, "comparable", counted)
    said = "bread rises where letters sleep in a cold oven today"
    first = candidate(0, said, 1.0)
    pool = [first, *(candidate(k, f"{k} maps {k + 1} bricks {k + 2} sails", 0.9 - k / 200) for k in range(1, 100))]
    got = select(pool, past, 5, 0.1, same_reason)
    assert len(got.chosen) == 5 and 0 not in [c.insight.id for c in got.chosen]
    assert len(asked) < 20 and set(asked) >= {c.insight.id for c in got.chosen}
    assert next(x.reason for x in got.left if x.candidate is first).startswith("says what this subscriber has had")
    assert {x.reason for x in got.left[-50:]} == {"enough better ones"}


def test_what_comes_a_morning_at_a_time_is_found_like_what_came_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasts, "PARTS", 4)
    monkeypatch.setattr(pasts, "CANDIDATES", 6)
    words = "bread letters engines seedlings tickets maps lenses bricks sails cold warm early late".split()  # noqa: SIM905
    rng = random.Random(5)
    said = [" ".join(rng.choices(words, k=rng.randint(2, 9))) for _ in range(60)]
    every = [had(k, t) for k, t in enumerate(said)]
    asked = [candidate(900 + k, said[rng.randrange(60)] + " and more", 0.5) for k in range(12)]
    slowly = Past()
    for k in range(0, 60, 3):
        slowly.learn(every[max(0, k - 3) : k + 3])  # half of it is known already
        for c in asked:
            assert slowly.comparable(c, {}) == mine(every[: k + 3]).past.comparable(c, {})
    assert len(slowly.rows) == 60 and len(slowly._parts) <= 4
    assert any(slowly.comparable(c, {}) for c in asked)


def test_ideas_that_another_reader_had_are_not_read_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.begin() as conn:
        for n in range(1, 4):
            add_insights(conn, NOW - timedelta(days=1), [f"Text {n}-{k}" for k in range(4)], show=n, n=n)
        found = insights.candidates(conn, NOW - timedelta(days=9), NOW)
        people = [add_subscriber(conn, NOW, f"{k}@example.org", nonce=f"{k:032}") for k in range(2)]
        for who, some in zip(people, (found[:8], found[4:12]), strict=True):
            issue = DigestIssue("2026-01-01", tuple(DigestItem(k, c.insight) for k, c in enumerate(some, 1)), 5, 12, 3)
            digests.freeze(conn, who, issue, some, "", "", "", NOW, {})
    read: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *a: read.append(a[2]))
    pool = Pool(NOW)
    with db.begin() as conn:
        for who in people:
            truth = {(h.insight_id, h.text) for h in insights.had(conn, who.id)}
            assert {(h.insight_id, h.text) for h in pool.had(conn, who.id).all()} == truth and len(truth) == 8
        texts = [q for q in read if "ledger.vector" in q and " IN " in q]
        assert len(texts) == 2 and len(pool._past.rows) == 12
        pool.had(conn, people[0].id)
        assert len([q for q in read if "ledger.vector" in q and " IN " in q]) == 2
        monkeypatch.setattr(pools, "MOST", 5)
        assert len(pool.had(conn, people[1].id).all()) == 8 and len(pool._past.rows) == 8, "and begun anew"
