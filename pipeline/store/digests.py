"""Subscribers, frozen digests and the outbox rows that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from pipeline.errors import NotFoundError, UsageError
from pipeline.records import DigestIssue, Subscriber
from pipeline.store.insights import Candidate
from pipeline.store.tables import digest, digest_item, ledger, outbox, subscriber


def _subscriber(r: Row[Any]) -> Subscriber:
    return Subscriber(**{k: getattr(r, k) for k in Subscriber.__dataclass_fields__})


def add_subscriber(conn: Connection, row: dict[str, Any]) -> Subscriber:
    """Add a subscriber, or take a removed one back. Raises UsageError when the address is on the list already."""
    known = conn.execute(select(subscriber).where(subscriber.c.email == row["email"])).first()
    if known is not None and known.state == "active":
        raise UsageError(f"{row['email']} is subscribed already", hint="podsift subscriber list shows everybody")
    if known is not None:
        conn.execute(update(subscriber).where(subscriber.c.id == known.id).values(**row))
        return _subscriber(conn.execute(select(subscriber).where(subscriber.c.id == known.id)).one())
    made = conn.execute(insert(subscriber).values(**row).returning(subscriber.c.id)).scalar_one()
    return _subscriber(conn.execute(select(subscriber).where(subscriber.c.id == made)).one())


def subscribers(conn: Connection, *, all_states: bool = False) -> list[Subscriber]:
    """The people who get the digest."""
    query = select(subscriber).order_by(subscriber.c.id)
    if not all_states:
        query = query.where(subscriber.c.state == "active")
    return [_subscriber(r) for r in conn.execute(query)]


def find_subscriber(conn: Connection, email: str) -> Subscriber:
    """By address. Raises NotFoundError."""
    row = conn.execute(select(subscriber).where(subscriber.c.email == email)).first()
    if row is None:
        raise NotFoundError(f"{email} is not subscribed", hint="podsift subscriber list shows everybody")
    return _subscriber(row)


def remove_subscriber(conn: Connection, subscriber_id: int, now: datetime) -> None:
    """Takes effect at once: what is queued for this person is suppressed."""
    conn.execute(
        update(subscriber).where(subscriber.c.id == subscriber_id).values(state="removed", next_digest_at=None)
    )
    conn.execute(
        update(outbox)
        .where(outbox.c.subscriber_id == subscriber_id, outbox.c.state.in_(("queued", "deferred")))
        .values(state="suppressed", reply="unsubscribed", changed_at=now)
    )


def due(conn: Connection, now: datetime) -> list[Subscriber]:
    """Subscribers whose local hour has come."""
    query = select(subscriber).where(subscriber.c.state == "active", subscriber.c.next_digest_at <= now)
    return [_subscriber(r) for r in conn.execute(query.order_by(subscriber.c.next_digest_at))]


def schedule(conn: Connection, subscriber_id: int, next_at: datetime, last_date: str | None = None) -> None:
    """Set when the next digest is due, and the local date of the one that was just dealt with."""
    values: dict[str, Any] = {"next_digest_at": next_at}
    if last_date:
        values["last_digest_date"] = last_date
    conn.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**values))


def exists(conn: Connection, subscriber_id: int, local_date: str) -> int | None:
    """The id of this subscriber's digest of that day, if there is one."""
    query = select(digest.c.id).where(digest.c.subscriber_id == subscriber_id, digest.c.local_date == local_date)
    return conn.execute(query).scalar()


def freeze(
    conn: Connection,
    who: Subscriber,
    issue: DigestIssue,
    chosen: Sequence[Candidate],
    subject: str,
    html: str,
    text: str,
    now: datetime,
) -> int:
    """Store a digest with its items and the subscriber's ledger. The unique key makes a second one impossible."""
    row = {
        "subscriber_id": who.id,
        "local_date": issue.local_date,
        "built_at": now,
        "subject": subject,
        "html": html,
        "text": text,
        "wanted": issue.wanted,
        "considered": issue.considered,
        "thin_reason": issue.thin_reason,
    }
    made = int(conn.execute(insert(digest).values(**row).returning(digest.c.id)).scalar_one())
    for item, candidate in zip(issue.items, chosen, strict=True):
        conn.execute(
            insert(digest_item).values(
                digest_id=made, position=item.position, insight_id=item.insight.id, kind=item.kind, reason=item.reason
            )
        )
        conn.execute(
            insert(ledger).values(
                subscriber_id=who.id,
                insight_id=item.insight.id,
                text_key=candidate.text_key,
                text=item.insight.text,
                vector=None if candidate.vector is None else candidate.vector.astype("<f4").tobytes(),
                at=now,
            )
        )
    return made


def listed(conn: Connection, limit: int = 50) -> list[dict[str, Any]]:
    """Digests, newest first, with recipient and mail state."""
    query = (
        select(
            digest.c.id, digest.c.local_date, digest.c.subject, digest.c.built_at, subscriber.c.email, outbox.c.state
        )
        .join(subscriber, subscriber.c.id == digest.c.subscriber_id)
        .outerjoin(outbox, outbox.c.digest_id == digest.c.id)
        .order_by(digest.c.id.desc())
        .limit(limit)
    )
    return [dict(r._mapping) for r in conn.execute(query)]


def get(conn: Connection, digest_id: int) -> dict[str, Any]:
    """One frozen digest. Raises NotFoundError."""
    row = conn.execute(select(digest).where(digest.c.id == digest_id)).first()
    if row is None:
        raise NotFoundError(f"There is no digest {digest_id}", hint="podsift digest list shows the digests")
    return dict(row._mapping)
