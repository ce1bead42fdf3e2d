"""Channels, and what was delivered to them: the only places where the state of either changes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from pipeline.errors import NotFoundError, UsageError
from pipeline.store.tables import channel, delivery, digest, subscriber

STATES = {
    "queued": "written with its digest, waits for its turn",
    "posting": "committed just before the post: from here on only the other side knows",
    "sent": "the other side took it",
    "deferred": "not taken, or not reached; waits for next_at",
    "failed": "refused, or it expired",
    "suppressed": "the channel is paused, or its subscriber gets no digests any more",
    "uncertain": "posted to a chat, and the answer was lost: a person decides",
}
"""Each state with its meaning.

    queued ──► posting ──► sent
      ▲  │        ├──────► failed
      │  │        ├──────► deferred ──► posting
      │  │        └──────► uncertain ──(resolve)──► sent | queued
      │  └──► suppressed, failed (expired)
      └── a crash while posting, where the other side knows the same post again
"""
WAITING = ("queued", "deferred")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A post that is to be made now."""

    id: int
    digest_id: int
    channel_id: int
    kind: str
    sealed: str
    key: str
    body: str
    attempts: int


def add(conn: Connection, subscriber_id: int, kind: str, name: str, sealed: str, shown: str, now: datetime) -> int:
    """A new channel. Raises UsageError when the name is taken."""
    if conn.execute(select(channel.c.id).where(channel.c.name == name)).first() is not None:
        raise UsageError(f"There is a channel named {name!r} already", hint="give another --name")
    row = {"subscriber_id": subscriber_id, "kind": kind, "name": name, "sealed": sealed, "shown": shown}
    made = insert(channel).values(**row, state="active", created_at=now).returning(channel.c.id)
    return int(conn.execute(made).scalar_one())


def listed(conn: Connection) -> list[dict[str, Any]]:
    """Every channel with its subscriber, without its secrets."""
    columns = [channel.c[k] for k in ("id", "name", "kind", "shown", "state", "why", "created_at")]
    query = select(*columns, subscriber.c.email.label("of")).join(
        subscriber, subscriber.c.id == channel.c.subscriber_id
    )
    return [dict(r._mapping) for r in conn.execute(query.order_by(channel.c.id))]


def overview(conn: Connection) -> list[dict[str, Any]]:
    """`listed`, each with how many posts wait or are uncertain, and what became of the last one that was made."""
    order = func.row_number().over(
        partition_by=delivery.c.channel_id, order_by=(delivery.c.changed_at.desc(), delivery.c.id.desc())
    )
    columns = [delivery.c[k] for k in ("channel_id", "state", "reply", "changed_at")]
    made = select(*columns, order.label("place")).where(delivery.c.state != "queued").subquery()
    last = {r.channel_id: r for r in conn.execute(select(made).where(made.c.place == 1))}
    grouped = select(delivery.c.channel_id, delivery.c.state, func.count()).where(
        delivery.c.state.in_((*WAITING, "uncertain"))
    )
    counted: dict[tuple[int, str], int] = {}
    for row in conn.execute(grouped.group_by(delivery.c.channel_id, delivery.c.state)):
        counted[row[0], row[1]] = row[2]
    return [
        c
        | {
            "waits": sum(counted.get((c["id"], s), 0) for s in WAITING),
            "uncertain": counted.get((c["id"], "uncertain"), 0),
            "last": {k: getattr(r, k) for k in ("state", "reply", "changed_at")} if (r := last.get(c["id"])) else None,
        }
        for c in listed(conn)
    ]


def find(conn: Connection, name: str) -> dict[str, Any]:
    """By name or id, with its sealed secrets. Raises NotFoundError."""
    wanted = (channel.c.name == name) if not name.isdecimal() else (channel.c.id == int(name[:9]))
    row = conn.execute(select(channel).where(wanted)).first()
    if row is None:
        raise NotFoundError(f"There is no channel {name!r}", hint="podsift channel list shows them")
    return dict(row._mapping)


def change(conn: Connection, channel_id: int, state: str, why: str | None = None) -> None:
    """Pause a channel, or let it go on."""
    conn.execute(update(channel).where(channel.c.id == channel_id).values(state=state, why=why))


def remove(conn: Connection, channel_id: int) -> None:
    """Forget a channel and what was delivered to it."""
    conn.execute(channel.delete().where(channel.c.id == channel_id))


def reseal(conn: Connection, again: Callable[[str], str | None]) -> int:
    """Put every channel's secrets under another key, as `again` says. Returns how many changed."""
    changed = 0
    for row in conn.execute(select(channel.c.id, channel.c.sealed)).all():
        new = again(row.sealed)
        if new is not None:
            conn.execute(update(channel).where(channel.c.id == row.id).values(sealed=new))
            changed += 1
    return changed


def of_subscriber(conn: Connection, subscriber_id: int) -> list[tuple[int, str]]:
    """Id and kind of the channels that a subscriber's digests go to."""
    query = select(channel.c.id, channel.c.kind).where(
        channel.c.subscriber_id == subscriber_id, channel.c.state == "active"
    )
    return [(r.id, r.kind) for r in conn.execute(query.order_by(channel.c.id))]


def put(
    conn: Connection, digest_id: int, channel_id: int, key: str, body: str, now: datetime, expires: datetime
) -> None:
    """Queue a post, in its digest's own transaction."""
    values = {"digest_id": digest_id, "channel_id": channel_id, "key": key, "body": body, "state": "queued"}
    conn.execute(insert(delivery).values(**values, attempts=0, next_at=now, expires_at=expires, changed_at=now))


def recover(conn: Connection, repeatable: Collection[str], now: datetime) -> None:
    """After a crash: what may be posted again is queued, the rest is uncertain. Only for the one sender."""
    again = select(channel.c.id).where(channel.c.kind.in_(sorted(repeatable)))
    stuck = update(delivery).where(delivery.c.state == "posting")
    conn.execute(stuck.where(delivery.c.channel_id.in_(again)).values(state="queued", changed_at=now))
    conn.execute(stuck.values(state="uncertain", reply="podsift ended before the answer", changed_at=now))


def expire(conn: Connection, now: datetime) -> None:
    """What nobody wants any more, and what waited too long, is not posted."""
    wanted = (
        select(channel.c.id)
        .join(subscriber, subscriber.c.id == channel.c.subscriber_id)
        .where(channel.c.state == "active", subscriber.c.state == "active")
    )
    waits = update(delivery).where(delivery.c.state.in_(WAITING))
    conn.execute(
        waits.where(delivery.c.channel_id.not_in(wanted)).values(
            state="suppressed", reply="not wanted any more", changed_at=now
        )
    )
    conn.execute(
        waits.where(delivery.c.expires_at <= now).values(
            state="failed", reply="expired before it was taken", changed_at=now
        )
    )


def take(conn: Connection, now: datetime, but: Collection[int] = ()) -> Delivery | None:
    """The next due post, from now on `posting`; none of the channels `but`."""
    query = (
        select(delivery, channel.c.kind, channel.c.sealed)
        .join(channel, channel.c.id == delivery.c.channel_id)
        .where(delivery.c.state.in_(WAITING), delivery.c.next_at <= now, channel.c.id.not_in(sorted(but)))
        .order_by(delivery.c.next_at, delivery.c.id)
        .limit(1)
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    begun = update(delivery).where(delivery.c.id == row.id)
    conn.execute(begun.values(state="posting", attempts=row.attempts + 1, changed_at=now))
    return Delivery(**{k: getattr(row, k) for k in Delivery.__dataclass_fields__})


def settle(conn: Connection, delivery_id: int, state: str, why: str, now: datetime, **changes: Any) -> None:
    """What became of a post."""
    mine = update(delivery).where(delivery.c.id == delivery_id, delivery.c.state == "posting")
    conn.execute(mine.values(state=state, reply=why[:500], changed_at=now, **changes))


def deliveries(conn: Connection, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Posts without their bodies, newest first."""
    columns = [delivery.c[k] for k in ("id", "digest_id", "state", "attempts", "next_at", "reply", "changed_at")]
    query = (
        select(*columns, channel.c.name.label("channel"), digest.c.local_date)
        .join(channel, channel.c.id == delivery.c.channel_id)
        .join(digest, digest.c.id == delivery.c.digest_id)
        .order_by(delivery.c.id.desc())
        .limit(limit)
    )
    if state:
        query = query.where(delivery.c.state == state)
    return [dict(r._mapping) for r in conn.execute(query)]


def counts(conn: Connection) -> dict[str, int]:
    """Number of posts in each state."""
    rows = conn.execute(select(delivery.c.state, func.count()).group_by(delivery.c.state)).all()
    return {str(r[0]): int(r[1]) for r in rows}


def resolve(conn: Connection, delivery_id: int, to: str, now: datetime) -> None:
    """A person decides an uncertain post, or has another one tried again at once. Raises NotFoundError, UsageError."""
    row = conn.execute(select(delivery.c.state).where(delivery.c.id == delivery_id)).first()
    if row is None:
        raise NotFoundError(f"There is no delivery {delivery_id}", hint="podsift channel log shows them")
    may = ("uncertain",) if to == "sent" else ("uncertain", "failed", "deferred")
    if row.state not in may:
        raise UsageError(
            f"Delivery {delivery_id} is {row.state}", hint=f"only {' or '.join(may)} ones can be decided so"
        )
    values: dict[str, Any] = {"state": to, "reply": "resolved by the operator", "changed_at": now}
    if to == "queued":
        values |= {"next_at": now, "expires_at": now + timedelta(days=1)}
    conn.execute(update(delivery).where(delivery.c.id == delivery_id).values(**values))
