"""The log of polls, what polls change of many feeds at once, and hosts that asked to be left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from pipeline.store.tables import feed, feed_poll, host_hold

KEEP = timedelta(days=60)


def add(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Leave a row for each poll: feed_id, at, status, bytes, seconds, new, changed, why."""
    if rows:
        conn.execute(insert(feed_poll), [dict(r) for r in rows])


def change(conn: Connection, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Set columns of many feeds, `(feed id, values)` each; one statement for those that set the same columns."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for feed_id, values in rows:
        alike.setdefault(tuple(sorted(values)), []).append(dict(values) | {"feed_id": feed_id})
    for columns, many in alike.items():
        if columns:
            # Named one by one: a column of JSON needs its own type.
            names = {c: bindparam(f"new_{c}", type_=feed.c[c].type) for c in columns}
            rows_of = [{"feed_id": r["feed_id"]} | {f"new_{c}": r[c] for c in columns} for r in many]
            conn.execute(update(feed).where(feed.c.id == bindparam("feed_id")).values(names), rows_of)


def recent(conn: Connection, feed_id: int | None = None, limit: int = 20) -> list[dict[str, Any]]:
    """The last polls, of one feed or of all, newest first, with the feed's title."""
    query = select(feed_poll, feed.c.title.label("show")).join(feed, feed.c.id == feed_poll.c.feed_id)
    if feed_id is not None:
        query = query.where(feed_poll.c.feed_id == feed_id)
    return [dict(r._mapping) for r in conn.execute(query.order_by(feed_poll.c.id.desc()).limit(limit))]


def prune(conn: Connection, now: datetime) -> int:
    """Forget polls older than KEEP; returns how many."""
    conn.execute(delete(host_hold).where(host_hold.c.until <= now))
    return conn.execute(delete(feed_poll).where(feed_poll.c.at < now - KEEP)).rowcount


def holds(conn: Connection, now: datetime) -> dict[str, datetime]:
    """Hosts that are not to be asked yet, and until when."""
    query = select(host_hold.c.host, host_hold.c.until).where(host_hold.c.until > now)
    return {str(r.host): r.until for r in conn.execute(query)}


def hold(conn: Connection, found: Mapping[str, datetime], why: str) -> None:
    """Remember what hosts asked for."""
    for host, until in found.items():
        conn.execute(delete(host_hold).where(host_hold.c.host == host))
        conn.execute(insert(host_hold).values(host=host, until=until, why=why))
