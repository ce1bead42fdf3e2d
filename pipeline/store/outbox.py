"""The outbox: one row a mail. Its state changes here and, while a sender holds it, in `outbox_moves`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from pipeline.errors import NotFoundError, UsageError
from pipeline.store.tables import mail_hold, outbox, outbox_message, subscriber

STATES = {
    "queued": "written with its digest, waits for a sender",
    "claimed": "a sender holds it until its lease ends; nothing was sent yet",
    "transmitting": "committed just before DATA: from here on only the server knows",
    "sent": "the server took it",
    "deferred": "the server asked to try later, or was not reached; waits for next_at",
    "failed": "the server refused this recipient or this mail, or the mail expired",
    "suppressed": "the recipient unsubscribed or paused, or the address is on the suppression list",
    "uncertain": "the sender died, or the line was lost, between DATA and the answer: a person decides",
}
"""Each state with its meaning.

    queued ──► claimed ──► transmitting ──► sent
      │  ▲       │  ▲            ├────────► failed
      │  └───────┤  │            ├────────► deferred
      │          ▼  │            └────────► uncertain ──(resolve)──► sent | queued
      │       deferred
      └──► suppressed, failed (expired)
"""

WAITING = ("queued", "deferred")
LEASE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail that one sender holds: `owner` is that hold, and no other sender can move it while it lasts."""

    id: int
    subscriber_id: int
    recipient: str
    domain: str
    message: bytes
    attempts: int
    owner: str


def put(conn: Connection, **row: Any) -> int:
    """Queue a mail with its bytes (`message`), in its digest's own transaction."""
    values = {"state": "queued", "attempts": 0, "domain": row["recipient"].rpartition("@")[2].lower()} | row
    message = values.pop("message")
    mail_id = int(conn.execute(insert(outbox).returning(outbox.c.id), values).scalar_one())
    conn.execute(insert(outbox_message), {"outbox_id": mail_id, "message": message})
    return mail_id


def recover(conn: Connection, now: datetime) -> tuple[int, int]:
    """After a crash: claims whose lease ended are queued again (nothing was sent); a `transmitting` row is uncertain.

    Only for a sender that holds the process lock, or whose lease has ended. Returns both counts.
    """
    ended = or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now)
    free = {"owner": None, "lease_until": None, "changed_at": now}
    back = conn.execute(
        update(outbox).where(outbox.c.state == "claimed", ended).values(state="queued", **free)
    ).rowcount
    # The owner stays: a sender that was slow, not dead, may still bring the server's answer.
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
    query = update(outbox).where(outbox.c.state.in_(WAITING), outbox.c.expires_at <= now)
    return conn.execute(query.values(state="failed", reply="expired before it could be sent", changed_at=now)).rowcount


def wanted() -> Any:
    """Whether the recipient wants this mail now: a digest while active, a confirm mail while pending."""
    who = subscriber.c.id == outbox.c.subscriber_id
    kinds = or_(
        and_(outbox.c.kind == "digest", subscriber.c.state == "active"),
        and_(outbox.c.kind == "confirm", subscriber.c.state == "pending"),
    )
    return exists().where(who, kinds)


def drop_unwanted(conn: Connection, now: datetime) -> int:
    """Mail that waits for people who left, paused, or confirmed already is suppressed."""
    gone = update(outbox).where(outbox.c.state.in_(WAITING), ~wanted())
    return conn.execute(gone.values(state="suppressed", reply="not wanted any more", changed_at=now)).rowcount


def claim(conn: Connection, now: datetime, owner: str, limit: int = 1, full: Collection[str] = ()) -> list[Claim]:
    """Take the next due mails for `owner`, none to the domains that are `full`."""
    # One state at a time, so that the index gives them in order and a long queue costs no more than a short one.
    due = [
        row
        for state in WAITING
        for row in conn.execute(
            select(outbox.c.next_at, outbox.c.id)
            .where(outbox.c.state == state, outbox.c.next_at <= now, outbox.c.domain.not_in(sorted(full)))
            .order_by(outbox.c.next_at, outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ]
    ids = [r.id for r in sorted(due, key=tuple)[:limit]]
    if not ids:
        return []
    held = {"state": "claimed", "owner": owner, "lease_until": now + LEASE, "changed_at": now}
    conn.execute(update(outbox).where(outbox.c.id.in_(ids)).values(**held))
    columns = [outbox.c[k] for k in Claim.__dataclass_fields__ if k != "message"]
    rows = select(*columns, outbox_message.c.message).join(outbox_message).where(outbox.c.id.in_(ids))
    return [Claim(**r._mapping) for r in conn.execute(rows.order_by(outbox.c.next_at, outbox.c.id))]


def counts(conn: Connection) -> dict[str, int]:
    """Number of mails in each state."""
    rows = conn.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state)).all()
    return {str(row[0]): int(row[1]) for row in rows}


def times(conn: Connection, subscriber_id: int, kind: str, since: datetime) -> list[datetime]:
    """When mails of this kind were last dealt with for a person, not longer ago than `since`."""
    query = select(outbox.c.changed_at).where(outbox.c.subscriber_id == subscriber_id, outbox.c.kind == kind)
    return list(conn.execute(query.where(outbox.c.changed_at > since)).scalars())


def listed(conn: Connection, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Mails without their bytes, newest first."""
    query = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
    if state:
        query = query.where(outbox.c.state == state)
    return [dict(r._mapping) for r in conn.execute(query)]


def get(conn: Connection, mail_id: int) -> dict[str, Any]:
    """One mail with its bytes. Raises NotFoundError."""
    whole = select(outbox, outbox_message.c.message).join(outbox_message)
    row = conn.execute(whole.where(outbox.c.id == mail_id)).first()
    if row is None:
        raise NotFoundError(f"There is no mail {mail_id}", hint="podsift outbox list shows the mails")
    return dict(row._mapping)


def resolve(conn: Connection, mail_id: int, to: str, now: datetime) -> None:
    """A person decides an uncertain mail: `sent`, or `queued` to send the same bytes again.

    The operator's word outweighs the expiry: a resend has a day.
    """
    query = update(outbox).where(outbox.c.id == mail_id, outbox.c.state == "uncertain")
    values = {"state": to, "next_at": now, "owner": None, "lease_until": None, "changed_at": now}
    if to == "queued":
        values["expires_at"] = now + timedelta(days=1)
    if not conn.execute(query.values(reply="resolved by the operator", **values)).rowcount:
        state = get(conn, mail_id)["state"]
        raise UsageError(f"Mail {mail_id} is {state}, not uncertain", hint="only uncertain mails need a decision")


# --- servers that are left alone -------------------------------------------------------------------------------------


def hold(conn: Connection, server: str, until: datetime, why: str, strikes: int) -> None:
    """Leave a mail server alone until then."""
    release(conn, server)
    conn.execute(insert(mail_hold).values(server=server, until=until, why=why[:500], strikes=strikes))


def release(conn: Connection, server: str | None = None) -> int:
    """End a server's hold, or all of them. Returns how many there were."""
    query = mail_hold.delete()
    return conn.execute(query if server is None else query.where(mail_hold.c.server == server)).rowcount


def holds(conn: Connection) -> list[dict[str, Any]]:
    """The servers that are left alone, or were a short while ago (`until` in the past)."""
    return [dict(r._mapping) for r in conn.execute(select(mail_hold).order_by(mail_hold.c.server))]
