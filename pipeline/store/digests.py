"""Frozen digests, and what they carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from pipeline.errors import NotFoundError
from pipeline.records import DigestIssue, DigestItem, Subscriber
from pipeline.store import insights
from pipeline.store.insights import Candidate
from pipeline.store.tables import digest, digest_item, ledger, outbox, subscriber


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
    explanation: dict[str, Any] | None = None,
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
        "explanation": explanation,
    }
    # Rows are given beside the statements, not in them, so that those are compiled once.
    made = int(conn.execute(insert(digest).returning(digest.c.id), row).scalar_one())
    if not issue.items:
        return made
    items = [
        {"digest_id": made, "position": i.position, "insight_id": i.insight.id, "kind": i.kind, "reason": i.reason}
        for i in issue.items
    ]
    conn.execute(insert(digest_item), items)
    had = [
        {
            "subscriber_id": who.id,
            "insight_id": item.insight.id,
            "text_key": candidate.text_key,
            "text": item.insight.text,
            "vector": None if candidate.vector is None else candidate.vector.astype("<f4").tobytes(),
            "at": now,
        }
        for item, candidate in zip(issue.items, chosen, strict=True)
    ]
    conn.execute(insert(ledger), had)
    return made


def print_(conn: Connection, digest_id: int, subject: str, html: str, text: str) -> None:
    """Store what a digest that was just frozen looks like."""
    looks = update(digest).where(digest.c.id == digest_id)
    conn.execute(looks.values(subject=subject, html=html, text=text))


@dataclass(frozen=True, slots=True)
class Sent:
    """What a subscriber got on a day."""

    digest_id: int
    built_at: datetime
    insight_ids: tuple[int, ...]


def items_of(conn: Connection, subscriber_id: int, local_date: str) -> Sent | None:
    """A subscriber's digest of that day with the ids of its insights, None when there was none."""
    query = select(digest.c.id, digest.c.built_at)
    row = conn.execute(query.where(digest.c.subscriber_id == subscriber_id, digest.c.local_date == local_date)).first()
    if row is None:
        return None
    items = select(digest_item.c.insight_id).where(digest_item.c.digest_id == row.id).order_by(digest_item.c.position)
    return Sent(row.id, row.built_at, tuple(conn.execute(items).scalars()))


def any_before(conn: Connection, subscriber_id: int, at: datetime) -> bool:
    """Whether this subscriber had a digest before that moment."""
    query = select(digest.c.id).where(digest.c.subscriber_id == subscriber_id, digest.c.built_at < at).limit(1)
    return conn.execute(query).first() is not None


def issue(conn: Connection, digest_id: int) -> DigestIssue:
    """A frozen digest as the record it was made from, as far as it is stored. Raises NotFoundError."""
    row = get(conn, digest_id)
    places = select(digest_item).where(digest_item.c.digest_id == digest_id).order_by(digest_item.c.position)
    rows = conn.execute(places).all()
    stored = insights.by_id(conn, [r.insight_id for r in rows])
    items = [DigestItem(r.position, stored[r.insight_id], r.kind, r.reason) for r in rows if r.insight_id in stored]
    episodes = len({item.insight.episode_id for item in items})
    return DigestIssue(row["local_date"], tuple(items), row["wanted"], row["considered"], episodes, row["thin_reason"])


def of_subscriber(conn: Connection, subscriber_id: int, limit: int = 30) -> list[int]:
    """The ids of a subscriber's digests, newest first."""
    query = select(digest.c.id).where(digest.c.subscriber_id == subscriber_id)
    return list(conn.execute(query.order_by(digest.c.local_date.desc()).limit(limit)).scalars())


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
