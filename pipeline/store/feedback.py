"""What subscribers said of insights: more like this, less like this, wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select, update

from pipeline.store.insights import Vector
from pipeline.store.tables import episode, feed, feedback, insight, ledger

VERDICTS = {
    "more": "more like this",
    "less": "less like this",
    "wrong": "something is wrong with it",
}


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict on an insight: its vector as the subscriber had it, its show (None when that was removed)."""

    verdict: str
    vector: Vector | None
    feed_id: int | None


def give(conn: Connection, subscriber_id: int, insight_id: int, verdict: str, now: datetime) -> None:
    """Store a verdict in place of an earlier one of the same person on the same insight."""
    if verdict not in VERDICTS:
        raise ValueError(f"no verdict {verdict!r}")
    mine = (feedback.c.subscriber_id == subscriber_id, feedback.c.insight_id == insight_id)
    changed = conn.execute(update(feedback).where(*mine).values(verdict=verdict, at=now)).rowcount
    if not changed:
        row = {"subscriber_id": subscriber_id, "insight_id": insight_id, "verdict": verdict, "at": now}
        conn.execute(insert(feedback).values(**row))


def title(conn: Connection, subscriber_id: int, insight_id: int) -> str | None:
    """What an insight is called that a subscriber has been sent; None when they have not."""
    query = (
        select(insight.c.title, ledger.c.text)
        .select_from(ledger.outerjoin(insight, insight.c.id == ledger.c.insight_id))
        .where(ledger.c.subscriber_id == subscriber_id, ledger.c.insight_id == insight_id)
    )
    row = conn.execute(query).first() if 0 < insight_id < 2**31 else None
    return None if row is None else row.title or row.text[:80]


def opinions(conn: Connection, subscriber_id: int, limit: int = 200) -> list[Opinion]:
    """A subscriber's newest verdicts, for ranking."""
    query = (
        select(feedback.c.verdict, ledger.c.vector, episode.c.feed_id)
        .outerjoin(
            ledger,
            (ledger.c.subscriber_id == feedback.c.subscriber_id) & (ledger.c.insight_id == feedback.c.insight_id),
        )
        .outerjoin(insight, insight.c.id == feedback.c.insight_id)
        .outerjoin(episode, episode.c.id == insight.c.episode_id)
        .where(feedback.c.subscriber_id == subscriber_id)
        .order_by(feedback.c.at.desc(), feedback.c.id.desc())
        .limit(limit)
    )
    return [
        Opinion(r.verdict, None if r.vector is None else np.frombuffer(r.vector, "<f4"), r.feed_id)
        for r in conn.execute(query)
    ]


def counts(conn: Connection) -> dict[str, int]:
    """How often each verdict was given."""
    rows = conn.execute(select(feedback.c.verdict, func.count()).group_by(feedback.c.verdict))
    return dict.fromkeys(VERDICTS, 0) | {str(r[0]): int(r[1]) for r in rows}


def report(conn: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Verdicts for the operator, newest first, without who gave them."""
    said = (feedback.c.at, feedback.c.verdict, feedback.c.insight_id)
    query = (
        select(*said, insight.c.title, insight.c.writer, feed.c.title)
        .outerjoin(insight, insight.c.id == feedback.c.insight_id)
        .outerjoin(episode, episode.c.id == insight.c.episode_id)
        .outerjoin(feed, feed.c.id == episode.c.feed_id)
        .order_by(feedback.c.at.desc(), feedback.c.id.desc())
        .limit(limit)
    )
    names = ("at", "verdict", "insight_id", "title", "writer", "show")
    return [dict(zip(names, r, strict=True)) for r in conn.execute(query)]
