"""Links between insights: what a newer one is to an earlier one, who judged it, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select

from pipeline.records import StoredInsight
from pipeline.store import insights
from pipeline.store.insights import Candidate
from pipeline.store.tables import insight, insight_link
from pipeline.store.vectors import vectors

DECISIVE = ("same", "update", "disputes", "extends")
"""Kinds that a digest's selection asks for; "related" is for the pages alone."""
BATCH = 500
Pairs = Mapping[frozenset[int], "Link"]
"""Links by the two ids that they connect."""


@dataclass(frozen=True, slots=True)
class Link:
    """`kind` is a key of `insight.judge.KINDS`; `changed` is an update's own sentence, None when there is none."""

    newer_id: int
    earlier_id: int
    kind: str
    reason: str
    cosine: float
    judge: str
    changed: str | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Two insights of different episodes that are near, by publication."""

    newer: Candidate
    earlier: Candidate
    cosine: float


def neighbours(conn: Connection, episode_id: int, *, gate: float, k: int, since: datetime) -> list[Neighbour]:
    """For each insight of an episode up to `k` of other episodes at or above the gate, likest first."""
    own = [c for c in insights.with_vectors(conn, insight.c.episode_id == episode_id) if c.vector is not None]
    near = vectors(conn).nearest(
        conn, [c.vector for c in own if c.vector is not None], k, since=since, not_of=episode_id
    )
    ids = {n.insight_id for found in near for n in found if n.cosine >= gate}
    others = {c.insight.id: c for c in insights.with_vectors(conn, insight.c.id.in_(ids))} if ids else {}
    pairs = []
    for mine, found in zip(own, near, strict=True):
        for n in found:
            other = others.get(n.insight_id)
            if other is not None and n.cosine >= gate:
                pairs.append(_by_date(mine, other, n.cosine))
    return pairs


def _by_date(a: Candidate, b: Candidate, cosine: float) -> Neighbour:
    later_is_a = (a.insight.published, a.insight.id) > (b.insight.published, b.insight.id)
    return Neighbour(a, b, cosine) if later_is_a else Neighbour(b, a, cosine)


def replace(conn: Connection, episode_id: int, links: Sequence[Link], now: datetime) -> None:
    """Store an episode's links in place of those of an earlier run. Ones whose insight has gone are left out."""
    own = select(insight.c.id).where(insight.c.episode_id == episode_id)
    conn.execute(delete(insight_link).where(or_(insight_link.c.newer_id.in_(own), insight_link.c.earlier_id.in_(own))))
    _put(conn, links, now)


def renew(conn: Connection, episode_id: int, links: Sequence[Link], now: datetime) -> None:
    """Store what an episode's insights are to earlier ones in place of what was thought before; what later ones are to
    them stays."""
    own = select(insight.c.id).where(insight.c.episode_id == episode_id)
    conn.execute(delete(insight_link).where(insight_link.c.newer_id.in_(own)))
    _put(conn, links, now)


def _put(conn: Connection, links: Sequence[Link], now: datetime) -> None:
    wanted = {i for link in links for i in (link.newer_id, link.earlier_id)}
    there = set(conn.execute(select(insight.c.id).where(insight.c.id.in_(wanted))).scalars())
    rows = [
        {
            "newer_id": link.newer_id,
            "earlier_id": link.earlier_id,
            "kind": link.kind,
            "reason": link.reason,
            "changed": link.changed,
            "cosine": link.cosine,
            "judge": link.judge,
            "at": now,
        }
        for link in {(x.newer_id, x.earlier_id): x for x in links}.values()
        if {link.newer_id, link.earlier_id} <= there
    ]
    if rows:
        conn.execute(insert(insight_link), rows)


def between(conn: Connection, ids: Iterable[int], *, kinds: Sequence[str] = DECISIVE) -> Pairs:
    """Every link of these kinds that touches one of these insights."""
    wanted, found = sorted(set(ids)), dict[frozenset[int], Link]()
    for i in range(0, len(wanted), BATCH):
        for link in _touching(conn, wanted[i : i + BATCH], kinds):
            found[frozenset((link.newer_id, link.earlier_id))] = link
    return found


def _touching(conn: Connection, wanted: Sequence[int], kinds: Sequence[str]) -> list[Link]:
    query = select(insight_link).where(or_(insight_link.c.newer_id.in_(wanted), insight_link.c.earlier_id.in_(wanted)))
    rows = conn.execute(query.where(insight_link.c.kind.in_(kinds)))
    return [Link(r.newer_id, r.earlier_id, r.kind, r.reason, r.cosine, r.judge, r.changed) for r in rows]


def related(conn: Connection, insight_id: int, limit: int = 8) -> list[tuple[Link, StoredInsight]]:
    """What an insight is linked to, closest first, for a page's related list."""
    links = sorted(_touching(conn, [insight_id], (*DECISIVE, "related")), key=lambda link: -link.cosine)[:limit]
    others = {link.earlier_id if link.newer_id == insight_id else link.newer_id: link for link in links}
    if not others:
        return []
    stored = {c.insight.id: c.insight for c in insights.with_vectors(conn, insight.c.id.in_(others))}
    return [(link, stored[i]) for i, link in others.items() if i in stored]
