"""Which insights a digest carries: pure, over candidates and what the subscriber has had."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import unwrap

import numpy as np

from pipeline.insight.relate import SAME, near_verbatim, same_reason, shingles, text_key
from pipeline.store.insights import Candidate, Had, Vector
from pipeline.store.links import Link, Pairs

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
    updates: Mapping[int, Link] = field(default_factory=dict)
    """By the id of a chosen insight: the link that makes it an update of what the subscriber has had."""


def select(
    candidates: Sequence[Candidate],
    had: Sequence[Had],
    count: int,
    floor: float,
    same_idea: SameIdea,
    links: Pairs | None = None,
) -> Selection:
    """Take the best `count`, never one the subscriber has had, never two that say the same.

    What a judge said of two (`links`) outweighs `same_idea`, which never outweighs nearly the same words: an idea that
    the subscriber has had comes again only as an update. One an episode and two a show; when that leaves fewer than
    `count`, two an episode and three a show. The floor never gives: a thin day stays thin.
    """
    links = links or {}
    told = _judged(same_idea, links)
    fresh: list[Candidate] = []
    left: list[Left] = []
    near = comparable(had, links) if unwrap(same_idea) is same_reason else lambda _c: had
    for c in sorted(candidates, key=lambda c: (-c.insight.score, c.insight.id)):
        reason = _old(c, near(c), floor, told)
        if reason:
            left.append(Left(c, reason))
        else:
            fresh.append(c)
    chosen, rest = _fill([], fresh, STRICT, count, told)
    relaxed = False
    if len(chosen) < count:
        more, rest = _fill(chosen, [r.candidate for r in rest], RELAXED, count, told)
        relaxed = len(more) > len(chosen)
        chosen = more
    chosen.sort(key=lambda c: (-c.insight.score, c.insight.id))
    return Selection(tuple(chosen), tuple(left + rest), relaxed, _updates(chosen, had, links))


def comparable(had: Sequence[Had], links: Pairs) -> Callable[[Candidate], Sequence[Had]]:
    """Of all that a subscriber has had, in its order, what can say the same as a candidate by `same_reason` or a link.

    Two can only be the same with equal keys, a link, a run of words in common, or near vectors. After a year a
    subscriber has had 1,800 ideas, and a thousand candidates are compared with them.
    """
    by_id: dict[int, list[int]] = defaultdict(list)
    by_key: dict[str, list[int]] = defaultdict(list)
    by_run: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for k, h in enumerate(had):
        by_id[h.insight_id].append(k)
        for key in {h.text_key, text_key(h.text)}:
            by_key[key].append(k)
        for run in shingles(h.text):
            by_run[run].append(k)
    linked: dict[int, set[int]] = defaultdict(set)
    for pair in links:
        for a in pair:
            linked[a] |= pair
    sized = [k for k, h in enumerate(had) if h.vector is not None]
    shapes = {had[k].vector.shape for k in sized}  # type: ignore[union-attr]
    vectors = np.stack([had[k].vector for k in sized]) if len(shapes) == 1 else None  # type: ignore[misc]

    def of(c: Candidate) -> Sequence[Had]:
        found = {k for i in (c.insight.id, *linked.get(c.insight.id, ())) for k in by_id.get(i, ())}
        for key in (c.text_key, text_key(c.insight.text)):
            found.update(by_key.get(key, ()))
        for run in shingles(c.insight.text):
            found.update(by_run.get(run, ()))
        if len(shapes) > 1:
            return had
        if vectors is not None and c.vector is not None and c.vector.shape in shapes:
            found.update(sized[j] for j in np.flatnonzero(vectors @ c.vector > SAME - 0.01))
        return [had[k] for k in sorted(found)]

    return of


Told = Callable[[Candidate, "Candidate | Had"], str | None]
"""Why the first says what the second says, or None."""


def _judged(same_idea: SameIdea, links: Pairs) -> Told:
    def told(c: Candidate, other: Candidate | Had) -> str | None:
        other_id, text = (other.insight_id, other.text) if isinstance(other, Had) else _of(other)
        if c.text_key == other.text_key:
            return "the same words"
        link = links.get(frozenset((c.insight.id, other_id)))
        if link is not None and link.kind == "same":
            return link.reason
        if link is not None and _is_news(link, c, other):
            return "nearly the same words" if near_verbatim(c.insight.text, text) else None
        return same_idea(c.insight.text, c.vector, text, other.vector)

    return told


def _of(c: Candidate) -> tuple[int, str]:
    return c.insight.id, c.insight.text


def _is_news(link: Link, c: Candidate, other: Candidate | Had) -> bool:
    """A judged difference. An update is news to who has had the earlier one; within one digest the newer is enough."""
    if link.kind == "update":
        return isinstance(other, Had) and link.newer_id == c.insight.id
    return link.kind in ("disputes", "extends")


def _updates(chosen: Sequence[Candidate], had: Sequence[Had], links: Pairs) -> dict[int, Link]:
    found: dict[int, Link] = {}
    for c in chosen:
        for h in had:
            link = links.get(frozenset((c.insight.id, h.insight_id)))
            if link is not None and link.kind == "update" and link.newer_id == c.insight.id:
                found[c.insight.id] = link
    return found


def _old(c: Candidate, had: Sequence[Had], floor: float, told: Told) -> str | None:
    if c.insight.score < floor:
        return f"score {c.insight.score:.2f} is below the floor {floor:.2f}"
    for h in had:
        if h.insight_id == c.insight.id or h.text_key == c.text_key:
            return "this subscriber has had it"
        why = told(c, h)
        if why:
            return f"says what this subscriber has had: {why}"
    return None


def _fill(
    start: Sequence[Candidate], pool: Sequence[Candidate], caps: Caps, count: int, told: Told
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
            why = next((w for o in chosen if (w := told(c, o))), None)
            reason = f"says what a better one says: {why}" if why else None
        if reason:
            left.append(Left(c, reason))
        else:
            chosen.append(c)
            episodes[i.episode_id] += 1
            shows[i.feed_id] += 1
    return chosen, left
