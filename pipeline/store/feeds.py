"""Feeds and the log of their polls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Float, Row, Select, cast, delete, func, insert, or_, select, update

from pipeline.episode.select import FeedRules, parse_backfill
from pipeline.errors import NotFoundError
from pipeline.feed.filters import from_json
from pipeline.records import FeedForUpdate
from pipeline.store.tables import digest_item, episode, feed, feed_tag, insight


def add(conn: Connection, url: str, now: datetime) -> tuple[int, bool]:
    """Add a feed, due at once. Returns its id and whether it is new."""
    found = conn.execute(select(feed.c.id).where(feed.c.url == url)).scalar()
    if found is not None:
        return found, False
    values = {"url": url, "state": "active", "error_count": 0, "added_at": now, "next_poll_at": now}
    return int(conn.execute(insert(feed).values(values).returning(feed.c.id)).scalar_one()), True


def listed(conn: Connection, tag: str | None = None) -> list[dict[str, Any]]:
    """Every feed (with this tag) with its number of episodes and its tags; never its credentials."""
    counted = select(func.count()).where(episode.c.feed_id == feed.c.id).scalar_subquery()
    query = select(feed, counted.label("episodes")).order_by(feed.c.id)
    if tag is not None:
        query = query.where(feed.c.id.in_(select(feed_tag.c.feed_id).where(feed_tag.c.tag == tag)))
    tags = tags_of(conn)
    return [_shown(r) | {"tags": tags.get(r.id, [])} for r in conn.execute(query)]


def _shown(r: Row[Any]) -> dict[str, Any]:
    row = dict(r._mapping)
    row["private"] = row.pop("credentials") is not None
    return row


def find(conn: Connection, name: str) -> dict[str, Any]:
    """A feed by id, address or exact title, without its credentials. Raises NotFoundError."""
    where = or_(feed.c.url == name, feed.c.title == name)
    if name.isdecimal():
        where = feed.c.id == int(name)
    row: Row[Any] | None = conn.execute(select(feed).where(where)).first()
    if row is None:
        raise NotFoundError(f"There is no feed {name!r}", hint="podsift feed list shows the feeds")
    return _shown(row)


def known(conn: Connection, url: str) -> int | None:
    """The id of the feed with this address."""
    return conn.execute(select(feed.c.id).where(feed.c.url == url)).scalar()


def addresses(conn: Connection) -> dict[int, str]:
    """The address of every feed, as it is stored."""
    return {i: str(url) for i, url in conn.execute(select(feed.c.id, feed.c.url).order_by(feed.c.id))}


def owned(conn: Connection, url: str) -> bool:
    """Whether a feed has this address."""
    return conn.execute(select(feed.c.id).where(feed.c.url == url)).first() is not None


def tag(conn: Connection, feed_id: int, tags: Iterable[str]) -> None:
    """Give a feed these tags too."""
    known = set(tags_of(conn, feed_id).get(feed_id, ()))
    for name in sorted(set(tags) - known):
        conn.execute(insert(feed_tag).values(feed_id=feed_id, tag=name))


def untag(conn: Connection, feed_id: int, tags: Iterable[str]) -> int:
    """Take these tags from a feed; returns how many it had."""
    where = (feed_tag.c.feed_id == feed_id, feed_tag.c.tag.in_(list(tags)))
    return conn.execute(delete(feed_tag).where(*where)).rowcount


def tags_of(conn: Connection, feed_id: int | None = None) -> dict[int, list[str]]:
    """The tags of each feed that has any, or of one, in the order of the alphabet."""
    query = select(feed_tag.c.feed_id, feed_tag.c.tag).order_by(feed_tag.c.feed_id, feed_tag.c.tag)
    if feed_id is not None:
        query = query.where(feed_tag.c.feed_id == feed_id)
    found: dict[int, list[str]] = {}
    for of, name in conn.execute(query):
        found.setdefault(of, []).append(name)
    return found


def rules(conn: Connection, feed_id: int) -> FeedRules:
    """What this feed's reader asked for."""
    row = conn.execute(select(feed.c.filters, feed.c.backfill).where(feed.c.id == feed_id)).one()
    return FeedRules(from_json(row.filters), parse_backfill(row.backfill))


def credentials(conn: Connection, feed_id: int) -> str | None:
    """The sealed credentials of one feed."""
    return conn.execute(select(feed.c.credentials).where(feed.c.id == feed_id)).scalar()


def sealed(conn: Connection) -> dict[int, str]:
    """The sealed credentials of every feed that has any."""
    query = select(feed.c.id, feed.c.credentials).where(feed.c.credentials.is_not(None)).order_by(feed.c.id)
    return {i: str(text) for i, text in conn.execute(query)}


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


def due(conn: Connection, now: datetime, limit: int | None = None) -> list[FeedForUpdate]:
    """Active feeds whose time has come, longest due first."""
    come = or_(feed.c.next_poll_at.is_(None), feed.c.next_poll_at <= now)
    query = _for_update(now).where(feed.c.state == "active", come).order_by(feed.c.next_poll_at, feed.c.id)
    return [FeedForUpdate(**dict(r._mapping)) for r in conn.execute(query.limit(limit))]


def for_update(conn: Connection, feed_id: int, now: datetime) -> FeedForUpdate:
    """One feed as a poll needs it. Raises NoResultFound."""
    row = conn.execute(_for_update(now).where(feed.c.id == feed_id)).one()
    return FeedForUpdate(**dict(row._mapping))


def _for_update(now: datetime) -> Select[Any]:
    lately = (episode.c.published > now - timedelta(days=28), episode.c.published <= now)
    counted = select(cast(func.count(), Float) / 4).where(episode.c.feed_id == feed.c.id, *lately).scalar_subquery()
    columns = [feed.c[f.name] for f in fields(FeedForUpdate) if f.name != "weekly_count"]
    return select(*columns, counted.label("weekly_count"))
