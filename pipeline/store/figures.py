"""Counts for the operator: which models wrote and heard what, and what was dropped for want of proof."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from pipeline.store.tables import episode, feed, insight, insight_drop, subscriber, transcript


def writers(conn: Connection) -> list[dict[str, Any]]:
    """Insights by writer, model, revision and quantisation, the most first."""
    by = (insight.c.writer, insight.c.model, insight.c.revision, insight.c.quantisation, insight.c.prompt_version)
    n = func.count().label("insights")
    query = select(*by, n, func.max(insight.c.made_at).label("newest")).group_by(*by).order_by(n.desc())
    return [dict(r._mapping) for r in conn.execute(query)]


def drops(conn: Connection, limit: int = 30) -> list[dict[str, Any]]:
    """Why candidates were dropped, and how often."""
    n = func.count().label("times")
    query = select(insight_drop.c.reason, n).group_by(insight_drop.c.reason).order_by(n.desc()).limit(limit)
    return [dict(r._mapping) for r in conn.execute(query)]


def hearing(conn: Connection) -> list[dict[str, Any]]:
    """Transcripts by source and model: how many, hours, seconds of speech that are missing."""
    by = (transcript.c.source, transcript.c.model)
    query = select(
        *by,
        func.count().label("transcripts"),
        (func.sum(transcript.c.duration_s) / 3600.0).label("hours"),
        func.sum(transcript.c.missing_speech_s).label("missing_s"),
    )
    return [dict(r._mapping) for r in conn.execute(query.group_by(*by).order_by(*by))]


def feed_states(conn: Connection) -> dict[str, int]:
    """Feeds by state, and `failing`: active ones whose last poll failed."""
    rows = conn.execute(select(feed.c.state, func.count()).group_by(feed.c.state)).all()
    failing = conn.execute(
        select(func.count()).select_from(feed).where(feed.c.state == "active", feed.c.error_count > 0)
    ).scalar_one()
    return {str(r[0]): int(r[1]) for r in rows} | {"failing": int(failing)}


def subscriber_states(conn: Connection) -> dict[str, int]:
    """Subscribers by state."""
    rows = conn.execute(select(subscriber.c.state, func.count()).group_by(subscriber.c.state)).all()
    return {str(r[0]): int(r[1]) for r in rows}


def feeds(conn: Connection, limit: int = 500) -> list[dict[str, Any]]:
    """Feeds with what the operator watches; those that fail first."""
    names = ("id", "title", "url", "state", "error", "error_count", "last_ok_at", "next_poll_at")
    n = func.count(episode.c.id).label("episodes")
    columns = [feed.c[name] for name in names]
    query = select(*columns, n).outerjoin(episode, episode.c.feed_id == feed.c.id).group_by(*columns)
    rows = conn.execute(query.order_by(feed.c.error_count.desc(), func.lower(feed.c.title), feed.c.id).limit(limit))
    return [dict(r._mapping) for r in rows]
