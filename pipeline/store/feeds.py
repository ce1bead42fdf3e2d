"""Feeds and the log of their polls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from pipeline.errors import NotFoundError
from pipeline.records import FeedForUpdate
from pipeline.store.tables import digest_item, episode, feed, feed_poll, insight


def add(conn: Connection, url: str, now: datetime) -> tuple[int, bool]:
    """Add a feed, due at once. Returns its id and whether it is new."""
    found = conn.execute(select(feed.c.id).where(feed.c.url == url)).scalar()
    if found is not None:
        return found, False
    values = {"url": url, "state": "active", "error_count": 0, "added_at": now, "next_poll_at": now}
    return int(conn.execute(insert(feed).values(values).returning(feed.c.id)).scalar_one()), True


def listed(conn: Connection) -> list[dict[str, Any]]:
    """Every feed with its number of episodes."""
    counted = select(func.count()).where(episode.c.feed_id == feed.c.id).scalar_subquery()
    return [dict(r._mapping) for r in conn.execute(select(feed, counted.label("episodes")).order_by(feed.c.id))]


def find(conn: Connection, name: str) -> dict[str, Any]:
    """A feed by id, address or exact title. Raises NotFoundError."""
    where = or_(feed.c.url == name, feed.c.title == name)
    if name.isdecimal():
        where = feed.c.id == int(name)
    row: Row[Any] | None = conn.execute(select(feed).where(where)).first()
    if row is None:
        raise NotFoundError(f"There is no feed {name!r}", hint="podsift feed list shows the feeds")
    return dict(row._mapping)


def owned(conn: Connection, url: str) -> bool:
    """Whether a feed has this address."""
    return conn.execute(select(feed.c.id).where(feed.c.url == url)).first() is not None


def change(conn: Connection, feed_id: int, values: Mapping[str, Any]) -> None:
    """Set columns of one feed."""
    conn.execute(update(feed).where(feed.c.id == feed_id).values(**values))


def remove(conn: Connection, feed_id: int) -> None:
    """Remove a feed with its episodes, transcripts and insights.

    Digests keep their frozen text and the ledger what each subscriber has had, so nothing returns if it is added again.
    """
    gone = select(insight.c.id).join(episode, episode.c.id == insight.c.episode_id).where(episode.c.feed_id == feed_id)
    conn.execute(delete(digest_item).where(digest_item.c.insight_id.in_(gone)))
    conn.execute(delete(feed).where(feed.c.id == feed_id))


def due(conn: Connection, now: datetime, limit: int = 500) -> list[FeedForUpdate]:
    """Active feeds whose time has come, longest due first."""
    query = (
        select(feed)
        .where(feed.c.state == "active", or_(feed.c.next_poll_at.is_(None), feed.c.next_poll_at <= now))
        .order_by(feed.c.next_poll_at)
        .limit(limit)
    )
    return [_for_update(conn, r, now) for r in conn.execute(query).all()]


def for_update(conn: Connection, feed_id: int, now: datetime) -> FeedForUpdate:
    """One feed as a poll needs it. Raises NoResultFound."""
    return _for_update(conn, conn.execute(select(feed).where(feed.c.id == feed_id)).one(), now)


def _for_update(conn: Connection, r: Row[Any], now: datetime) -> FeedForUpdate:
    recent = conn.execute(
        select(func.count()).where(episode.c.feed_id == r.id, episode.c.published > now - timedelta(days=28))
    ).scalar_one()
    return FeedForUpdate(
        id=r.id,
        url=r.url,
        etag=r.etag,
        last_modified=r.last_modified,
        body_sha256=r.body_sha256,
        last_full_at=r.last_full_at,
        last_ok_at=r.last_ok_at,
        error_count=r.error_count,
        weekly_count=recent / 4,
        ttl_minutes=r.ttl_minutes,
        moved_url=r.moved_url,
        moved_since=r.moved_since,
    )


def log(conn: Connection, feed_id: int, at: datetime, **row: Any) -> None:
    """Leave a row for a poll: status, bytes, seconds, new, changed, why."""
    conn.execute(insert(feed_poll).values(feed_id=feed_id, at=at, **row))


def polls(conn: Connection, feed_id: int, limit: int = 20) -> list[dict[str, Any]]:
    """The last polls of one feed, newest first."""
    query = select(feed_poll).where(feed_poll.c.feed_id == feed_id).order_by(feed_poll.c.id.desc()).limit(limit)
    return [dict(r._mapping) for r in conn.execute(query)]
