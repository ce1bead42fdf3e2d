"""The outbox: one row a mail, and the only places where its state changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from pipeline.errors import NotFoundError, UsageError
from pipeline.store.tables import outbox, subscriber

STATES = {
    "queued": "written with its digest, waits for a sender",
    "claimed": "a sender holds it until its lease ends; nothing was sent yet",
    "transmitting": "committed just before DATA: from here on only the server knows",
    "sent": "the server took it",
    "deferred": "the server asked to try later, or was not reached; waits for next_at",
    "failed": "the server refused this recipient, or the mail expired",
    "suppressed": "the recipient unsubscribed before it was sent",
    "uncertain": "the sender died, or the line was lost, between DATA and the answer: a person decides",
}
"""Each state with its meaning.

    queued ──► claimed ──► transmitting ──► sent
      │          │  ▲            ├────────► failed
      │          ▼  │            ├────────► deferred
      │       deferred           └────────► uncertain ──(resolve)──► sent | queued
      └──► suppressed, failed (expired)
"""

LEASE = timedelta(minutes=10)


def put(conn: Connection, **row: Any) -> int:
    """Queue a mail, in its digest's own transaction."""
    return int(
        conn.execute(insert(outbox).values(state="queued", attempts=0, **row).returning(outbox.c.id)).scalar_one()
    )


def recover(conn: Connection, now: datetime) -> tuple[int, int]:
    """After a crash: claims whose lease ended are queued again (nothing was sent); a `transmitting` row is uncertain.

    Only for a sender that holds the process lock, or whose lease has ended. Returns both counts.
    """
    ended = or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now)
    back = conn.execute(
        update(outbox).where(outbox.c.state == "claimed", ended).values(state="queued", changed_at=now)
    ).rowcount
    unsure = conn.execute(
        update(outbox)
        .where(outbox.c.state == "transmitting", ended)
        .values(state="uncertain", reply="the sender ended between DATA and the server's answer", changed_at=now)
    ).rowcount
    return back, unsure


def end_leases(conn: Connection) -> None:
    """Called by the one process that holds the lock: whoever held a lease before it is gone."""
    conn.execute(update(outbox).where(outbox.c.state.in_(("claimed", "transmitting"))).values(lease_until=None))


def expire(conn: Connection, now: datetime) -> int:
    """A digest that could not be sent before the next one is not sent any more."""
    query = update(outbox).where(outbox.c.state.in_(("queued", "deferred")), outbox.c.expires_at <= now)
    return conn.execute(query.values(state="failed", reply="expired before it could be sent", changed_at=now)).rowcount


def claim(conn: Connection, now: datetime) -> dict[str, Any] | None:
    """Take the next due mail of a person who is still subscribed, or None."""
    active = exists().where(and_(subscriber.c.id == outbox.c.subscriber_id, subscriber.c.state == "active"))
    gone = update(outbox).where(outbox.c.state.in_(("queued", "deferred")), ~active)
    conn.execute(gone.values(state="suppressed", reply="unsubscribed", changed_at=now))
    due = (
        select(outbox)
        .where(outbox.c.state.in_(("queued", "deferred")), outbox.c.next_at <= now)
        .order_by(outbox.c.next_at, outbox.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = conn.execute(due).first()
    if row is None:
        return None
    values = {"state": "claimed", "lease_until": now + LEASE, "attempts": row.attempts + 1, "changed_at": now}
    conn.execute(update(outbox).where(outbox.c.id == row.id).values(**values))
    return dict(row._mapping) | values


def move(conn: Connection, mail_id: int, before: str, state: str, now: datetime, **values: Any) -> bool:
    """Compare-and-set of a mail's state."""
    query = update(outbox).where(outbox.c.id == mail_id, outbox.c.state == before)
    return conn.execute(query.values(state=state, changed_at=now, **values)).rowcount == 1


def counts(conn: Connection) -> dict[str, int]:
    """Number of mails in each state."""
    rows = conn.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state)).all()
    return {str(row[0]): int(row[1]) for row in rows}


def listed(conn: Connection, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Mails without their bytes, newest first."""
    columns = [c for c in outbox.c if c.name != "message"]
    query = select(*columns).order_by(outbox.c.id.desc()).limit(limit)
    if state:
        query = query.where(outbox.c.state == state)
    return [dict(r._mapping) for r in conn.execute(query)]


def resolve(conn: Connection, mail_id: int, to: str, now: datetime) -> None:
    """A person decides an uncertain mail: `sent`, or `queued` to send the same bytes again."""
    row = conn.execute(select(outbox.c.state).where(outbox.c.id == mail_id)).scalar()
    if row is None:
        raise NotFoundError(f"There is no mail {mail_id}", hint="podsift outbox list shows the mails")
    if not move(conn, mail_id, "uncertain", to, now, next_at=now, reply="resolved by the operator"):
        raise UsageError(f"Mail {mail_id} is {row}, not uncertain", hint="only uncertain mails need a decision")
