"""Why a digest has the insights that it has: what was chosen, and what just missed, each with score and reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.digest.select import Selection
from pipeline.store.insights import Candidate

MISSED = 15
"""How many of those that were not chosen are kept, best first."""


def explanation(selection: Selection, floor: float) -> dict[str, Any]:
    """JSON that is frozen with the digest: `{floor, relaxed, considered, chosen, missed}`; chosen and missed are
    `{insight, title, show, episode, score, writer, reason}`."""
    missed = sorted(selection.left, key=lambda left: (-left.candidate.insight.score, left.candidate.insight.id))
    return {
        "floor": floor,
        "relaxed": selection.relaxed,
        "considered": len(selection.chosen) + len(selection.left),
        "chosen": [_row(c, _why(selection, c)) for c in selection.chosen],
        "missed": [_row(left.candidate, left.reason) for left in missed[:MISSED]],
    }


def _row(c: Candidate, reason: str) -> dict[str, Any]:
    i = c.insight
    return {
        "insight": i.id,
        "title": i.title,
        "show": i.show,
        "episode": i.episode,
        "score": round(i.score, 4),
        "writer": i.writer,
        "reason": reason,
    }


def _why(selection: Selection, c: Candidate) -> str:
    link = selection.updates.get(c.insight.id)
    if link is not None:
        return f"an update of insight {link.earlier_id}, {link.reason}"
    if c.games is not None:
        won, met = c.games
        return f"among the best under the caps; won {won:.1f} of {met} comparisons"
    return "among the best under the caps"


def overlap(a: Sequence[int], b: Sequence[int]) -> float:
    """Share of the longer list that both have; 1.0 for two empty ones."""
    return len(set(a) & set(b)) / max(len(a), len(b)) if a or b else 1.0
