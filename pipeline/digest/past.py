"""What readers have had, each idea kept once however many had it, and what of it a candidate is compared with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.insight.relate import SAME, shingles, text_key
from pipeline.store.insights import Candidate, Had
from pipeline.store.links import Pairs

_NONE: set[int] = set()
MOST = 50_000
"""Ideas that are kept; 120 MB. A reader has had 1,800 in a year, and readers of the same shows much the same."""


PARTS, CANDIDATES = 16, 20_000
"""Looked at one by one, and remembered, at most."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Ideas that were learnt at once: `vectors` (m x dimensions) of the rows `sized`; a mark of every run of words of
    the rows `owners`."""

    sized: np.ndarray[Any, Any]
    vectors: np.ndarray[Any, Any] | None
    marks: np.ndarray[Any, Any]
    owners: np.ndarray[Any, Any]


class Past:
    """For as long as a process lives, as what was had does not change. Two can only be the same with equal keys, a
    link, a run of words in common, or near vectors; so what is comparable is found once, whoever had it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew. What `Mine` of earlier says does not hold any longer."""
        self.rows: list[Had] = []
        self.place: dict[str, int] = {}
        """In `rows`, by `Had.key`."""
        self._by_id: dict[int, set[int]] = defaultdict(set)
        self._by_key: dict[str, set[int]] = defaultdict(set)
        self._parts: list[_Part] = []
        self._near: dict[tuple[int, str], tuple[int, set[int]]] = {}

    def learn(self, had: Iterable[Had]) -> None:
        """Take in what is not known yet."""
        first = len(self.rows)
        new: list[Had] = []
        for h in had:
            if self.place.setdefault(h.key, first + len(new)) == first + len(new):
                new.append(h)
        for k, h in enumerate(new, first):
            self._by_id[h.insight_id].add(k)
            for key in {h.text_key, text_key(h.text)}:
                self._by_key[key].add(k)
        self.rows += new
        # One shape a part, so that vectors of an earlier embedding do no harm.
        self._parts += _parts(new, first)
        if len(self._parts) > PARTS:
            self._parts = _parts(self.rows, 0)
            self._near.clear()
        if len(self._near) > CANDIDATES:
            self._near.clear()

    def the_very(self, c: Candidate) -> set[int]:
        """Places of the candidate itself, and of what has its very words."""
        return self._by_id.get(c.insight.id, _NONE) | self._by_key.get(c.text_key, _NONE)

    def comparable(self, c: Candidate, linked: Mapping[int, set[int]]) -> set[int]:
        """Places in `rows` of all that can say the same, by `same_reason` or a link. `linked` is `ends(links)`."""
        i, key = c.insight, text_key(c.insight.text)
        done, near = self._near.get((i.id, key), (0, set()))
        for part in self._parts[done:]:
            near |= _alike(part, c, self.rows)
        self._near[i.id, key] = len(self._parts), near
        found = near | self.the_very(c) | self._by_key.get(key, _NONE)
        for other in linked.get(i.id, ()):
            found |= self._by_id.get(other, _NONE)
        return found


def _parts(new: Sequence[Had], first: int) -> list[_Part]:
    shapes = dict.fromkeys(None if h.vector is None else h.vector.shape for h in new)
    return [_part(new, first, shape) for shape in shapes]


def ends(links: Pairs) -> dict[int, set[int]]:
    """By the id of an insight: those it is linked to."""
    found: dict[int, set[int]] = defaultdict(set)
    for pair in links:
        for one in pair:
            found[one] |= pair
    return found


@lru_cache(maxsize=65_536)
def _marks(text: str) -> bytes:
    """16 bits of each run of words: equal runs have equal marks. The runs are not kept: the garbage collector would go
    through those of a whole year again and again."""
    return np.fromiter((hash(run) & 0xFFFF for run in shingles.__wrapped__(text)), np.uint16).tobytes()


def _part(new: Sequence[Had], first: int, shape: tuple[int, ...] | None) -> _Part:
    mine = [(k, h) for k, h in enumerate(new, first) if (None if h.vector is None else h.vector.shape) == shape]
    places = np.array([k for k, _ in mine])
    marks = [np.frombuffer(_marks(h.text), np.uint16) for _, h in mine]
    return _Part(
        places,
        None if shape is None else np.stack([h.vector for _, h in mine if h.vector is not None]),
        np.concatenate(marks),
        np.repeat(places, [len(m) for m in marks]),
    )


def _alike(part: _Part, c: Candidate, rows: Sequence[Had]) -> set[int]:
    found: set[int] = set()
    if part.vectors is not None and c.vector is not None and part.vectors.shape[1:] == c.vector.shape:
        # Not by BLAS, whose threads cost more than they do on so little.
        cosines = np.einsum("ij,j->i", part.vectors, c.vector)
        found.update(part.sized[cosines > SAME - 0.01].tolist())
    runs = shingles(c.insight.text)
    marked = np.zeros(0x10000, dtype=bool)
    marked[np.frombuffer(_marks(c.insight.text), np.uint16)] = True
    maybe = set(part.owners[marked[part.marks]].tolist()) - found
    return found | {k for k in maybe if not runs.isdisjoint(shingles(rows[k].text))}


@dataclass(frozen=True, slots=True)
class Mine:
    """What one reader has had: places in what all have had, in their order."""

    past: Past
    places: frozenset[int]

    def all(self) -> list[Had]:
        return [self.past.rows[k] for k in sorted(self.places)]

    def holds(self, c: Candidate) -> bool:
        """Whether it was had, or its very words were."""
        return not self.places.isdisjoint(self.past.the_very(c))

    def comparable(self, c: Candidate, linked: Mapping[int, set[int]]) -> list[Had]:
        return [self.past.rows[k] for k in sorted(self.places & self.past.comparable(c, linked))]


def mine(had: Sequence[Had]) -> Mine:
    """One reader's past alone."""
    past = Past()
    past.learn(had)
    return Mine(past, frozenset(range(len(past.rows))))
