"""How the insights of a new episode stand to others, asked once, when they are stored: links, and who is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from pipeline.insight.compare import Comparer, Contender, opponents
from pipeline.insight.judge import APART, Judge, Pair, Said
from pipeline.store import matches
from pipeline.store.database import Database
from pipeline.store.insights import Candidate
from pipeline.store.links import Link, Neighbour

NEIGHBOURS = 12
"""Earlier insights that each new one is compared with; a judge is asked about each that passes its gate."""
COMPARED = timedelta(days=365)
FIELD = 24
"""The best of the days that a digest looks back are compared with each other, so many of them."""


def judged(judge: Judge, near: Sequence[Neighbour]) -> Iterator[Link]:
    """A link for each pair that is one, in order. Raises WaitingError when the judge is away."""
    pairs = [Pair(_said(n.newer), _said(n.earlier)) for n in near]
    for n, verdict in zip(near, judge.decide(pairs), strict=True):
        if verdict.kind == APART:
            continue
        yield Link(
            n.newer.insight.id,
            n.earlier.insight.id,
            verdict.kind,
            verdict.reason,
            n.cosine,
            judge.name,
            verdict.changed,
        )


def _said(c: Candidate) -> Said:
    assert c.vector is not None
    return Said(c.insight.title, c.insight.text, c.vector)


def compared(db: Database, comparer: Comparer | None, episode_id: int, since: datetime) -> tuple[matches.Wins, str]:
    """How an episode's insights, as far as they are among the best since then, do against the others; who says so."""
    if comparer is None:
        return {}, ""
    with db.begin() as conn:
        field = matches.best(conn, episode_id, since, FIELD)
        known = matches.between(conn, [i.id for i in field])
    said = {i.id: Contender(i.title, i.text) for i in field}
    mine = {i.id for i in field if i.episode_id == episode_id}
    pairs = opponents([i.id for i in field], mine, known)
    found = comparer.compare([(said[one], said[other]) for one, other in pairs])
    return ({} if found is None else dict(zip(pairs, found, strict=True))), comparer.name
