"""How a subscriber's feedback moves the scores of what comes next: pure, and only so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.store.feedback import Opinion
from pipeline.store.insights import Candidate

LEAST, MOST = 0.8, 1.25
"""A score is multiplied by no less and no more: feedback reorders what is good, it hides nothing and saves nothing."""
LIKE = 0.35
"""Cosine from which on two insights count as of one kind."""
_STEP = 1.08
_SHOW_STEP = 1.02


def factor(c: Candidate, opinions: Sequence[Opinion]) -> float:
    """What to multiply a candidate's score with, `LEAST..MOST`; 1.0 without a word on anything like it.

    Each "more" or "less" on something like it is a step, longer the more alike the two are; one on the same show is a
    short step. "wrong" is about the proof, not about taste, and moves nothing.
    """
    steps = {"more": 1, "less": -1}
    made = 1.0
    for o in opinions:
        step = steps.get(o.verdict, 0)
        if o.feed_id is not None and o.feed_id == c.insight.feed_id:
            made *= _SHOW_STEP**step
        if o.vector is not None and c.vector is not None and o.vector.shape == c.vector.shape:
            alike = float(o.vector @ c.vector)
            if alike >= LIKE:
                made *= _STEP ** (step * (1.0 + (alike - LIKE) / (1.0 - LIKE)))
    return min(max(made, LEAST), MOST)


def weighed(candidates: Sequence[Candidate], opinions: Sequence[Opinion], floor: float) -> list[Candidate]:
    """The candidates with scores as this subscriber's feedback moves them. What was above the floor stays above it."""
    if not opinions:
        return list(candidates)
    return [_weighed(c, factor(c, opinions), floor) for c in candidates]


def _weighed(c: Candidate, by: float, floor: float) -> Candidate:
    before = c.insight.score
    after = before * by if before >= 0 else before / by
    after = max(after, floor) if before >= floor else min(after, before)
    return replace(c, insight=replace(c.insight, score=after))
