"""Bounces and complaints that were taken, and the mails they are about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from pipeline.store.tables import bounce, outbox


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was sent: its outbox id, and whose it is."""

    id: int
    subscriber_id: int
    recipient: str


def mail(conn: Connection, *, mail_id: int | None = None, message_id: str | None = None) -> Mail | None:
    """A mail by its outbox id or its Message-ID, None when it is not there (any more)."""
    query = select(outbox.c.id, outbox.c.subscriber_id, outbox.c.recipient)
    if mail_id is not None:
        query = query.where(outbox.c.id == min(mail_id, 2**31 - 1))
    else:
        query = query.where(outbox.c.message_id == message_id)
    row = conn.execute(query.limit(1)).first()
    return None if row is None else Mail(row.id, row.subscriber_id, row.recipient)


def known(conn: Connection, sha256: str) -> bool:
    """Whether this very report was taken before."""
    return conn.execute(select(bounce.c.id).where(bounce.c.sha256 == sha256)).first() is not None


def add(conn: Connection, about: Mail, kind: str, status: str | None, detail: str, sha256: str, now: datetime) -> None:
    """Store a report."""
    row = {"outbox_id": about.id, "subscriber_id": about.subscriber_id, "kind": kind, "status": status}
    conn.execute(insert(bounce).values(**row, detail=detail[:500], sha256=sha256, at=now))


def soft_count(conn: Connection, subscriber_id: int, since: datetime) -> int:
    """How many of a person's mails bounced softly since then; several reports on one mail count once."""
    query = select(func.count(bounce.c.outbox_id.distinct()))
    mine = (bounce.c.subscriber_id == subscriber_id, bounce.c.kind == "soft", bounce.c.at >= since)
    return int(conn.execute(query.where(*mine)).scalar_one())


def listed(conn: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Reports, newest first, with the recipient."""
    query = (
        select(bounce.c.id, bounce.c.at, bounce.c.kind, bounce.c.status, outbox.c.recipient, bounce.c.detail)
        .outerjoin(outbox, outbox.c.id == bounce.c.outbox_id)
        .order_by(bounce.c.id.desc())
        .limit(limit)
    )
    return [dict(r._mapping) for r in conn.execute(query)]


def counts(conn: Connection) -> dict[str, int]:
    """Reports by kind."""
    rows = conn.execute(select(bounce.c.kind, func.count()).group_by(bounce.c.kind))
    return {str(r[0]): int(r[1]) for r in rows}
