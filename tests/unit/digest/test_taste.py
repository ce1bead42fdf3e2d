"""Feedback moves scores, and only within its bounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import FixedClock
from pipeline.digest.compose import choose
from pipeline.digest.taste import LEAST, MOST, factor, weighed
from pipeline.records import StoredInsight
from pipeline.settings import Settings
from pipeline.store import digests, feedback, insights, subscribers
from pipeline.store.database import Database
from pipeline.store.feedback import Opinion
from pipeline.store.insights import Candidate
from tests.conftest import NOW
from tests.fakes.rows import add_insights, add_subscriber


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def unit(*values: float) -> np.ndarray:
    v = np.zeros(384, dtype=np.float32)
    v[: len(values)] = values
    return v / np.linalg.norm(v)


@pytest.fixture
def candidate(sqlite: Database) -> Candidate:
    with sqlite.begin() as conn:
        add_insights(conn, NOW, ["One thought about queues."])
        (c,) = insights.candidates(conn, NOW - timedelta(days=9), NOW)
    return replace(c, vector=unit(1.0))


def test_more_lifts_and_less_lowers(candidate: Candidate) -> None:
    near, far = unit(1.0, 0.2), unit(0.0, 1.0)
    assert factor(candidate, []) == 1.0
    assert factor(candidate, [Opinion("more", near, None)]) > 1.05
    assert factor(candidate, [Opinion("less", near, None)]) < 0.95
    assert factor(candidate, [Opinion("wrong", near, candidate.insight.feed_id)]) == 1.0
    assert factor(candidate, [Opinion("more", far, None)]) == 1.0
    assert 1.0 < factor(candidate, [Opinion("more", far, candidate.insight.feed_id)]) < 1.05


@given(st.lists(st.sampled_from(["more", "less", "wrong"]), max_size=200), st.floats(-2, 2), st.floats(-1, 1))
def test_bounds_hold(verdicts: list[str], score: float, floor: float) -> None:
    stored = replace(_INSIGHT, score=score)
    c = Candidate(stored, "k", unit(1.0))
    (after,) = weighed([c], [Opinion(v, unit(1.0), stored.feed_id) for v in verdicts], floor)
    moved = after.insight.score
    assert (moved >= floor) == (score >= floor)
    assert min(score * LEAST, score / LEAST, floor) - 1e-9 <= moved <= max(score * MOST, score / MOST, floor) + 1e-9


_INSIGHT = StoredInsight(
    1, 1, 1, "t", "x", "x", 0, 0, 0.0, 1.0, None, 0.5, "selecting", None, "s", "e", None, NOW, "publisher"
)


def test_feedback_changes_the_order_of_the_next_digest(db: Database, settings: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        (sent,) = add_insights(conn, NOW, ["A thought that was sent."], show=9, n=9)
        low, high = (
            add_insights(conn, NOW, [text], show=k, n=k, scores=[score])[0]
            for k, (text, score) in enumerate([("The lower one.", 0.50), ("The higher one.", 0.52)], 1)
        )
        who = add_subscriber(conn, NOW)
        issue, chosen = choose(conn, who, settings, never, NOW)
        order = [i.insight.id for i in issue.items]
        assert order.index(high) < order.index(low)
        digests.freeze(conn, who, issue, chosen.chosen, "s", "h", "t", NOW)
    with db.begin() as conn:
        feedback.give(conn, who.id, low, "more", NOW)
        feedback.give(conn, who.id, low, "less", NOW)
        feedback.give(conn, who.id, sent, "wrong", NOW)
        assert feedback.counts(conn) == {"more": 0, "less": 1, "wrong": 1}
        (later_low,) = add_insights(conn, NOW, ["A new thought of show one."], show=1, n=11, scores=[0.52])
        (later_high,) = add_insights(conn, NOW, ["A new thought of show two."], show=2, n=12, scores=[0.519])
        who = subscribers.get(conn, who.id)
        issue, _ = choose(conn, who, settings, never, NOW + timedelta(days=1))
        order = [i.insight.id for i in issue.items]
        assert order.index(later_high) < order.index(later_low), "the show that was disliked comes second now"
