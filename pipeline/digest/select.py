"""Which insights a digest carries: pure, over candidates and what the subscriber has had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.store.insights import Candidate, Had, Vector

SameIdea = Callable[[str, Vector | None, str, Vector | None], str | None]
"""(text, vector, text, vector) -> why the two say the same, or None."""


@dataclass(frozen=True, slots=True)
class Caps:
    """At most so many insights of one episode and of one show."""

    episode: int
    show: int


STRICT = Caps(1, 2)
RELAXED = Caps(2, 3)


@dataclass(frozen=True, slots=True)
class Left:
    """A candidate that was not chosen, and why."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, best first, what was left with its reason, and whether the caps had to give."""

    chosen: tuple[Candidate, ...]
    left: tuple[Left, ...]
    relaxed: bool


def select(
    candidates: Sequence[Candidate], had: Sequence[Had], count: int, floor: float, same_idea: SameIdea
) -> Selection:
    """Take the best `count`, never one the subscriber has had, never two that say the same.

    One an episode and two a show; when that leaves fewer than `count`, two an episode and three a show. The floor
    never gives: a thin day stays thin.
    """
    fresh: list[Candidate] = []
    left: list[Left] = []
    for c in sorted(candidates, key=lambda c: (-c.insight.score, c.insight.id)):
        reason = _old(c, had, floor, same_idea)
        if reason:
            left.append(Left(c, reason))
        else:
            fresh.append(c)
    chosen, rest = _fill([], fresh, STRICT, count, same_idea)
    relaxed = False
    if len(chosen) < count:
        more, rest = _fill(chosen, [r.candidate for r in rest], RELAXED, count, same_idea)
        relaxed = len(more) > len(chosen)
        chosen = more
    chosen.sort(key=lambda c: (-c.insight.score, c.insight.id))
    return Selection(tuple(chosen), tuple(left + rest), relaxed)


def _old(c: Candidate, had: Sequence[Had], floor: float, same_idea: SameIdea) -> str | None:
    if c.insight.score < floor:
        return f"score {c.insight.score:.2f} is below the floor {floor:.2f}"
    for h in had:
        if h.insight_id == c.insight.id or h.text_key == c.text_key:
            return "this subscriber has had it"
        why = same_idea(c.insight.text, c.vector, h.text, h.vector)
        if why:
            return f"says what this subscriber has had: {why}"
    return None


def _fill(
    start: Sequence[Candidate], pool: Sequence[Candidate], caps: Caps, count: int, same_idea: SameIdea
) -> tuple[list[Candidate], list[Left]]:
    chosen = list(start)
    left: list[Left] = []
    episodes = Counter(c.insight.episode_id for c in chosen)
    shows = Counter(c.insight.feed_id for c in chosen)
    for c in pool:
        i = c.insight
        reason = None
        if len(chosen) >= count:
            reason = "enough better ones"
        elif episodes[i.episode_id] >= caps.episode:
            reason = f"already {caps.episode} of this episode"
        elif shows[i.feed_id] >= caps.show:
            reason = f"already {caps.show} of this show"
        else:
            twins = (
                same_idea(i.text, c.vector, o.insight.text, o.vector) if c.text_key != o.text_key else "same words"
                for o in chosen
            )
            why = next((w for w in twins if w), None)
            reason = f"says what a better one says: {why}" if why else None
        if reason:
            left.append(Left(c, reason))
        else:
            chosen.append(c)
            episodes[i.episode_id] += 1
            shows[i.feed_id] += 1
    return chosen, left
