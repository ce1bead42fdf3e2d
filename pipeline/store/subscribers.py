"""Subscribers: who gets the digest, how they want it, and everything stored about one of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from pipeline.clock import iso_z
from pipeline.errors import NotFoundError, UsageError
from pipeline.records import Subscriber
from pipeline.schedule import EVERY_DAY, next_digest
from pipeline.store.tables import metadata, outbox, outbox_message, subscriber

STATES = {
    "pending": "asked for, not confirmed by the address's owner: gets a confirm mail and nothing else",
    "active": "gets the digest",
    "paused": "gets nothing until `paused_until`, or until the person says so",
    "removed": "unsubscribed; the row keeps what was sent, so that a return repeats nothing",
}
"""Each state with its meaning.

    pending ──(confirm)──► active ◄──(its time, or the person)──► paused
       │                     │                                       │
       └─────────────────────┴──► removed ◄──────────────────────────┘
                                     ├──(asks again)──► pending
                                     └──(the operator)──► active
"""

PREFERENCES = (
    "time_zone", "hour", "minute", "count", "days", "wanted_topics", "muted_topics", "wanted_shows", "muted_shows",
    "by_mail",
)  # fmt: skip
"""What `change` may set; `digest.wishes.checked` makes sure of the values."""
_LISTS = ("days", "wanted_topics", "muted_topics", "wanted_shows", "muted_shows")


def record(r: Row[Any]) -> Subscriber:
    """A row as the record; unset lists are their defaults."""
    values = {k: getattr(r, k) for k in Subscriber.__dataclass_fields__}
    for name in _LISTS:
        values[name] = tuple(values[name] or (EVERY_DAY if name == "days" else ()))
    values["consent"] = values["consent"] or {}
    return Subscriber(**values)


def add(conn: Connection, row: dict[str, Any]) -> Subscriber:
    """Add a subscriber, or take one back. Raises UsageError when the address gets the digest already."""
    known = conn.execute(select(subscriber).where(subscriber.c.email == row["email"])).first()
    if known is not None and known.state in ("active", "paused"):
        raise UsageError(f"{row['email']} is subscribed already", hint="podsift subscriber list shows everybody")
    if known is not None:
        conn.execute(update(subscriber).where(subscriber.c.id == known.id).values(**row))
        return get(conn, known.id)
    return get(conn, conn.execute(insert(subscriber).values(**row).returning(subscriber.c.id)).scalar_one())


def get(conn: Connection, subscriber_id: int) -> Subscriber:
    """By id. Raises NotFoundError."""
    row = conn.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).first()
    if row is None:
        raise NotFoundError(f"There is no subscriber {subscriber_id}", hint="podsift subscriber list shows everybody")
    return record(row)


def find(conn: Connection, email: str) -> Subscriber:
    """By address, whatever the state. Raises NotFoundError."""
    row = conn.execute(select(subscriber).where(subscriber.c.email == email)).first()
    if row is None:
        raise NotFoundError(f"{email} is not subscribed", hint="podsift subscriber list shows everybody")
    return record(row)


def listed(conn: Connection, *, all_states: bool = False) -> list[Subscriber]:
    """The people who get the digest; with `all_states` everybody."""
    query = select(subscriber).order_by(subscriber.c.id)
    if not all_states:
        query = query.where(subscriber.c.state == "active")
    return [record(r) for r in conn.execute(query)]


def counts(conn: Connection) -> dict[str, int]:
    """Number of people in each state."""
    rows = conn.execute(select(subscriber.c.state, func.count()).group_by(subscriber.c.state))
    return {str(r[0]): int(r[1]) for r in rows}


def due(conn: Connection, now: datetime) -> list[Subscriber]:
    """Those whose local hour has come. A pause that is over is ended first."""
    ended = update(subscriber).where(subscriber.c.state == "paused", subscriber.c.paused_until <= now)
    conn.execute(ended.values(state="active", paused_until=None))
    query = select(subscriber).where(subscriber.c.state == "active", subscriber.c.next_digest_at <= now)
    return [record(r) for r in conn.execute(query.order_by(subscriber.c.next_digest_at))]


def schedule(conn: Connection, subscriber_id: int, next_at: datetime | None, last_date: str | None = None) -> None:
    """Set when the next digest is due, and the local date of the one that was just dealt with."""
    values: dict[str, Any] = {"next_digest_at": next_at}
    if last_date:
        values["last_digest_date"] = last_date
    conn.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**values))


def following(who: Subscriber, now: datetime) -> datetime:
    """When the next digest of `who` is due, from now on; never one for a day that had its digest."""
    at = next_digest(now, who.hour, who.minute, who.time_zone, who.last_digest_date, who.days)
    if at < now:  # the hour of a changed preference may be over for today: then it is the next day's
        return next_digest(now, who.hour, who.minute, who.time_zone, None, who.days)
    return at


def change(conn: Connection, subscriber_id: int, values: Mapping[str, Any], now: datetime) -> Subscriber:
    """Set preferences (PREFERENCES, checked before) and when the next digest is due. Returns the new record."""
    unknown = set(values) - set(PREFERENCES)
    if unknown:
        raise ValueError(f"not preferences: {sorted(unknown)}")
    stored = {k: list(v) if k in _LISTS else v for k, v in values.items()}
    if stored:
        conn.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**stored))
    who = get(conn, subscriber_id)
    overdue = who.next_digest_at is not None and who.next_digest_at <= now
    if who.state == "active" and not overdue:
        schedule(conn, who.id, following(who, now))
    return get(conn, subscriber_id)


def activate(conn: Connection, subscriber_id: int, now: datetime, proof: Mapping[str, Any]) -> Subscriber:
    """The owner of a pending address, or the operator, said yes.

    Again changes nothing, and the first proof is kept. Nor does it for somebody who left since: the link of a confirm
    mail holds for two days, and must not bring them back.
    """
    who = get(conn, subscriber_id)
    if who.state != "pending":
        return who
    values = {
        "state": "active",
        "confirmed_at": now,
        "consent": who.consent | dict(proof) | {"confirmed_at": iso_z(now)},
        "next_digest_at": following(who, now),
    }
    conn.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**values))
    return get(conn, subscriber_id)


def pause(conn: Connection, subscriber_id: int, until: datetime | None, now: datetime) -> Subscriber:
    """Nothing more until `until` (None: until `resume`); what is queued is held back for good. Only for active ones."""
    who = get(conn, subscriber_id)
    if who.state not in ("active", "paused"):
        raise UsageError(f"{who.email} is {who.state}, so there is nothing to pause")
    values = {"state": "paused", "paused_until": until}
    conn.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**values))
    if until is not None:
        schedule(conn, subscriber_id, following(who, max(until, now)))
    _hold_back(conn, subscriber_id, "paused", now)
    return get(conn, subscriber_id)


def resume(conn: Connection, subscriber_id: int, now: datetime) -> Subscriber:
    """End a pause; anybody else is left as they are."""
    who = get(conn, subscriber_id)
    if who.state == "paused":
        values = {"state": "active", "paused_until": None, "next_digest_at": following(who, now)}
        conn.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**values))
    return get(conn, subscriber_id)


def remove(conn: Connection, subscriber_id: int, now: datetime) -> None:
    """Unsubscribe; takes effect at once, also for what is queued. Again changes nothing."""
    values = {"state": "removed", "next_digest_at": None, "paused_until": None}
    conn.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**values))
    _hold_back(conn, subscriber_id, "unsubscribed", now)


def erase(conn: Connection, subscriber_id: int) -> None:
    """Delete a person with everything that is stored about them; an entry of the suppression list outlives this."""
    # Foreign keys delete what hangs on the row: digests, their items, ledger, mails, bounces, feedback.
    conn.execute(delete(subscriber).where(subscriber.c.id == subscriber_id))


def export(conn: Connection, subscriber_id: int) -> dict[str, Any]:
    """Everything that is stored about a person, by table, ready for JSON. Raises NotFoundError."""
    get(conn, subscriber_id)
    found: dict[str, Any] = {}
    mine_too = select(outbox_message).join(outbox).where(outbox.c.subscriber_id == subscriber_id)
    texts = {r.outbox_id: r.message for r in conn.execute(mine_too)}
    for table in metadata.sorted_tables:
        mine = table.c.id if table is subscriber else table.c.get("subscriber_id")
        if mine is None:
            continue
        rows = conn.execute(select(table).where(mine == subscriber_id)).mappings().all()
        found[table.name] = [{k: _readable(k, v) for k, v in r.items() if k not in _INTERNAL} for r in rows]
    for mail in found["outbox"]:
        mail["message"] = _readable("message", texts[mail["id"]])
    return found


_INTERNAL = (
    "vector",
    "nonce",
    "owner",
    "lease_until",
    "sealed",
)  # how it works inside, not about the person; and a key


def _readable(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return iso_z(value)
    if isinstance(value, bytes):
        return value.decode("ascii", "replace") if name == "message" else base64.b64encode(value).decode()
    return value


def _hold_back(conn: Connection, subscriber_id: int, why: str, now: datetime) -> None:
    waiting = or_(outbox.c.state == "queued", outbox.c.state == "deferred")
    mine = update(outbox).where(outbox.c.subscriber_id == subscriber_id, waiting)
    conn.execute(mine.values(state="suppressed", reply=why, changed_at=now))
