"""What the digests of one pass choose from: read once, compared once, however many people there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps

from sqlalchemy import Connection

from pipeline.digest.past import MOST, Mine, Past
from pipeline.digest.select import SameIdea
from pipeline.digest.wishes import Meant, granted
from pipeline.insight import compare
from pipeline.records import Subscriber
from pipeline.store import insights, links, matches
from pipeline.store.insights import Candidate, Vector
from pipeline.store.links import Pairs

REMEMBERED = 1_000_000
"""Pairs of texts that are remembered; 150 MB at most, and a pass over a week's insights has a tenth of it."""


def settled(conn: Connection, found: Sequence[Candidate]) -> list[Candidate]:
    """Candidates whose scores are dealt out anew by what a model said of them in pairs."""
    wins = matches.between(conn, [c.insight.id for c in found])
    scores = compare.settled({c.insight.id: c.insight.score for c in found}, wins)
    games = compare.games_of(wins)
    return [
        replace(c, insight=replace(c.insight, score=scores[c.insight.id]), games=games.get(c.insight.id)) for c in found
    ]


class Pool:
    """The candidates up to a moment, with what a judge said of them. For one pass."""

    def __init__(self, now: datetime, past: Past | None = None):
        self._now = now
        self._read: dict[int, tuple[list[Candidate], Pairs]] = {}
        self._meant: dict[int, Meant] = {}
        self._told: dict[tuple[str, str], str | None] = {}
        self._past = past or Past()

    def read(self, conn: Connection, days: int) -> tuple[list[Candidate], Pairs]:
        """Candidates of the last `days`, and the decisive links of any of them."""
        if days not in self._read:
            found = settled(conn, insights.candidates(conn, self._now - timedelta(days=days), self._now))
            self._read[days] = found, links.between(conn, [c.insight.id for c in found])
        return self._read[days]

    def granted(self, conn: Connection, days: int, who: Subscriber) -> list[Candidate]:
        """`read`, as this subscriber wishes it."""
        found, _ = self.read(conn, days)
        if days not in self._meant:
            self._meant[days] = Meant(found)
        return granted(found, who, self._meant[days])

    def had(self, conn: Connection, subscriber_id: int) -> Mine:
        """What this subscriber has had. Of ideas that others had too only the keys are read."""
        if len(self._past.rows) > MOST:
            self._past.forget()
        keys, place = insights.had_keys(conn, subscriber_id), self._past.place
        unknown = [int(key.partition(" ")[0]) for key in keys if key not in place]
        self._past.learn(insights.had_some(conn, subscriber_id, unknown))
        return Mine(self._past, frozenset(place[k] for k in keys))

    def remembered(self, same_idea: SameIdea) -> SameIdea:
        """`same_idea`, asked once for each pair of texts."""
        told = self._told

        @wraps(same_idea)  # selecting looks which one it is
        def same(a: str, a_vector: Vector | None, b: str, b_vector: Vector | None) -> str | None:
            if (a, b) not in told:
                if len(told) >= REMEMBERED:
                    told.clear()
                told[a, b] = same_idea(a, a_vector, b, b_vector)
            return told[a, b]

        return same
