"""Taking episodes up under the daily budget of audio hours: the decision and its mark in one transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, func, select, text, update

from pipeline.episode.budget import DAY, UNKNOWN_S, Taken, Verdict, Waiting, decide
from pipeline.store.tables import episode

_LOCK = 0x706F6473
MOST_WAITING = 1000


def take_up(conn: Connection, episode_id: int, limit_hours: float, now: datetime) -> Verdict:
    """Whether this episode may be taken up now, marked as taken if so. One that was taken up before keeps its place."""
    if conn.dialect.name == "postgresql":
        # Two workers would else give the same hours away. Ends with the transaction.
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    before = conn.execute(select(episode.c.taken_at).where(episode.c.id == episode_id)).scalar()
    if before is not None:
        return Verdict(True)
    verdict = decide(episode_id, waiting(conn), taken(conn, now), limit_hours, now)
    if verdict.admitted:
        conn.execute(update(episode).where(episode.c.id == episode_id).values(taken_at=now))
    return verdict


def waiting(conn: Connection) -> list[Waiting]:
    """Episodes that were not taken up yet, in the order of their turn."""
    query = (
        select(episode.c.id, func.coalesce(episode.c.duration_s, UNKNOWN_S), episode.c.backfill)
        .where(episode.c.stage == "download", episode.c.taken_at.is_(None))
        .order_by(episode.c.backfill, episode.c.published.desc(), episode.c.id)
        .limit(MOST_WAITING)
    )
    return [Waiting(*row) for row in conn.execute(query)]


def taken(conn: Connection, now: datetime) -> list[Taken]:
    """What was taken up in the last day; what failed before there was audio costs nothing."""
    nothing = and_(episode.c.stage == "failed", episode.c.audio_s.is_(None))
    seconds = func.coalesce(episode.c.audio_s, episode.c.duration_s, UNKNOWN_S)
    query = select(episode.c.taken_at, seconds).where(episode.c.taken_at > now - DAY, ~nothing)
    return [Taken(*row) for row in conn.execute(query)]
