"""Which of two insights a model found better, and which insights are worth comparing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, insert, or_, select

from pipeline.records import StoredInsight
from pipeline.store import insights
from pipeline.store.tables import episode, insight, insight_match

BATCH = 500
Wins = dict[tuple[int, int], float]


def best(conn: Connection, episode_id: int, since: datetime, most: int) -> list[StoredInsight]:
    """The best that a language model wrote about finished episodes published since, and about this one, by score."""
    ready = or_(episode.c.stage == "done", episode.c.id == episode_id)
    fresh = and_(episode.c.published >= since, episode.c.backfill.is_(False), insight.c.writer == "moe")
    found = insights.with_vectors(conn, and_(ready, fresh))
    return sorted((c.insight for c in found), key=lambda i: (-i.score, i.id))[:most]


def save(conn: Connection, wins: Wins, judge: str, now: datetime) -> None:
    """Keep comparisons of insights that are still there."""
    there = set(
        conn.execute(select(insight.c.id).where(insight.c.id.in_({i for pair in wins for i in pair}))).scalars()
    )
    known = between(conn, there)
    rows = [
        {"one_id": one, "other_id": other, "chance": chance, "judge": judge, "at": now}
        for (one, other), chance in wins.items()
        if {one, other} <= there and (one, other) not in known and (other, one) not in known
    ]
    if rows:
        conn.execute(insert(insight_match), rows)


def between(conn: Connection, ids: Iterable[int]) -> Wins:
    """(one, other) -> the chance that the first is better, of all pairs among these insights."""
    wanted: Sequence[int] = sorted(set(ids))
    found: Wins = {}
    for k in range(0, len(wanted), BATCH):
        rows = conn.execute(select(insight_match).where(insight_match.c.one_id.in_(wanted[k : k + BATCH])))
        found |= {(r.one_id, r.other_id): r.chance for r in rows}
    inside = set(wanted)
    return {pair: chance for pair, chance in found.items() if pair[1] in inside}
