"""Which insights a digest carries: pure, over candidates and what the subscriber has had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import unwrap

from pipeline.digest.past import Mine, ends, mine
from pipeline.insight.relate import near_verbatim, same_reason
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
    had: Mine | Sequence[Had],
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
    past = had if isinstance(had, Mine) else mine(had)
    old = _Old(past, floor, told, links, every=unwrap(same_idea) is not same_reason)
    best_first = sorted(candidates, key=lambda c: (-c.insight.score, c.insight.id))
    chosen, rest = _fill([], best_first, STRICT, count, told, old)
    relaxed = False
    if len(chosen) < count:
        fresh = [r.candidate for r in rest if r.candidate.insight.id not in old.found]
        more, again = _fill(chosen, fresh, RELAXED, count, told, old)
        rest = [r for r in rest if r.candidate.insight.id in old.found] + again
        relaxed = len(more) > len(chosen)
        chosen = more
    chosen.sort(key=lambda c: (-c.insight.score, c.insight.id))
    return Selection(tuple(chosen), tuple(rest), relaxed, _updates(chosen, past, links))


class _Old:
    """Why a candidate is nothing for this reader, whatever else is chosen: each is looked at once, if at all."""

    def __init__(self, past: Mine, floor: float, told: Told, links: Pairs, *, every: bool):
        self._past, self._floor, self._told, self._every = past, floor, told, every
        self._linked = ends(links)
        self._all = past.all() if every else []
        self._read: dict[int, str | None] = {}
        self.found: set[int] = set()

    def at_a_glance(self, c: Candidate) -> str | None:
        why = None
        if c.insight.score < self._floor:
            why = f"score {c.insight.score:.2f} is below the floor {self._floor:.2f}"
        elif self._past.holds(c):
            why = "this subscriber has had it"
        return self._noted(c, why)

    def on_reading(self, c: Candidate) -> str | None:
        """Compared with all that can say the same."""
        if c.insight.id not in self._read:
            near = self._all if self._every else self._past.comparable(c, self._linked)
            why = next((w for h in near if (w := self._told(c, h))), None)
            self._read[c.insight.id] = f"says what this subscriber has had: {why}" if why else None
        return self._noted(c, self._read[c.insight.id])

    def _noted(self, c: Candidate, why: str | None) -> str | None:
        if why is not None:
            self.found.add(c.insight.id)
        return why


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


def _updates(chosen: Sequence[Candidate], past: Mine, links: Pairs) -> dict[int, Link]:
    found: dict[int, Link] = {}
    had = past.all() if links else []
    for c in chosen:
        for h in had:
            link = links.get(frozenset((c.insight.id, h.insight_id)))
            if link is not None and link.kind == "update" and link.newer_id == c.insight.id:
                found[c.insight.id] = link
    return found


def _fill(
    start: Sequence[Candidate], pool: Sequence[Candidate], caps: Caps, count: int, told: Told, old: _Old
) -> tuple[list[Candidate], list[Left]]:
    """Reading comes last: of a thousand candidates only those are read that could be chosen else."""
    chosen = list(start)
    left: list[Left] = []
    episodes = Counter(c.insight.episode_id for c in chosen)
    shows = Counter(c.insight.feed_id for c in chosen)
    for c in pool:
        i = c.insight
        reason = old.at_a_glance(c)
        if reason is not None:
            pass
        elif len(chosen) >= count:
            reason = "enough better ones"
        elif episodes[i.episode_id] >= caps.episode:
            reason = f"already {caps.episode} of this episode"
        elif shows[i.feed_id] >= caps.show:
            reason = f"already {caps.show} of this show"
        elif (reason := old.on_reading(c)) is None:
            why = next((w for o in chosen if (w := told(c, o))), None)
            reason = f"says what a better one says: {why}" if why else None
        if reason:
            left.append(Left(c, reason))
        else:
            chosen.append(c)
            episodes[i.episode_id] += 1
            shows[i.feed_id] += 1
    return chosen, left
