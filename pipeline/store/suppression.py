"""Addresses that get nothing: a keyed hash each, no address, so that the list can outlive a person's row."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from pipeline.store.tables import suppression

REASONS = {
    "hard": "a bounce said that the address does not exist",
    "soft": "bounced again and again within the window",
    "complaint": "the person reported a mail as spam",
    "operator": "the operator put it there",
}
"""Why an address gets nothing."""


def add(conn: Connection, hashed: str, reason: str, detail: str, now: datetime) -> bool:
    """Put a hash on the list; False when it was there. A later reason replaces the earlier."""
    if reason not in REASONS:
        raise ValueError(f"no reason {reason!r}")
    row = {"reason": reason, "detail": detail[:500], "at": now}
    if conn.execute(update(suppression).where(suppression.c.hash == hashed).values(**row)).rowcount:
        return False
    conn.execute(insert(suppression).values(hash=hashed, **row))
    return True


def reasons(conn: Connection, hashes: Collection[str]) -> dict[str, str]:
    """Those of the hashes that are on the list, with their reason."""
    if not hashes:
        return {}
    query = select(suppression.c.hash, suppression.c.reason).where(suppression.c.hash.in_(sorted(hashes)))
    return {r.hash: r.reason for r in conn.execute(query)}


def remove(conn: Connection, hashes: Collection[str], *, only: Collection[str] = tuple(REASONS)) -> int:
    """Take hashes off the list; `only` those with one of these reasons. Returns how many were there."""
    if not hashes:
        return 0
    gone = delete(suppression).where(suppression.c.hash.in_(sorted(hashes)), suppression.c.reason.in_(sorted(only)))
    return conn.execute(gone).rowcount


def listed(conn: Connection, limit: int = 1000) -> list[dict[str, Any]]:
    """The list, newest first."""
    query = select(suppression).order_by(suppression.c.at.desc(), suppression.c.hash).limit(limit)
    return [dict(r._mapping) for r in conn.execute(query)]


def counts(conn: Connection) -> dict[str, int]:
    """Entries by reason."""
    rows = conn.execute(select(suppression.c.reason, func.count()).group_by(suppression.c.reason))
    return {str(r[0]): int(r[1]) for r in rows}
