"""Moving held mails, many at a time: senders share transactions, and a statement does a whole batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Update, bindparam, select, update

from pipeline.store.outbox import LEASE, wanted
from pipeline.store.tables import outbox


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a claimed mail's state, from one of `before`, by the sender that holds it."""

    mail_id: int
    owner: str
    before: tuple[str, ...]
    state: str
    values: Mapping[str, Any] = field(default_factory=dict)


# Statements are made once: making one costs more than running it.


@lru_cache(maxsize=1)
def _beginning() -> Update:
    held = outbox.c.owner == bindparam("held_by"), outbox.c.state == "claimed"
    values = {
        outbox.c.state: "transmitting",
        outbox.c.attempts: outbox.c.attempts + 1,
        outbox.c.lease_until: bindparam("until", type_=outbox.c.lease_until.type),
        outbox.c.changed_at: bindparam("now", type_=outbox.c.changed_at.type),
    }
    mine = update(outbox).where(outbox.c.id.in_(bindparam("ids", expanding=True)), *held, wanted())
    return mine.values(values).returning(outbox.c.id)


def begin(conn: Connection, ids: Collection[int], owner: str, now: datetime) -> set[int]:
    """`transmitting`, for committing just before DATA. Returns the ids that it took place for.

    The others are not this sender's any more, or their recipients want no mail: the same statement looks at it.
    """
    given = {"ids": sorted(ids), "held_by": owner, "until": now + LEASE, "now": now}
    return set(conn.execute(_beginning(), given).scalars())


def apply(conn: Connection, moves: Sequence[Move], now: datetime) -> list[bool]:
    """Compare-and-set of held mails' states; False for one that is not its sender's any more.

    One statement reads and locks what is held, one for each shape of move writes.
    """
    if not moves:
        return []
    ids = {m.mail_id for m in moves}
    if len(ids) < len(moves):
        raise ValueError("two moves of one mail at a time")
    held = {r.id: (r.owner, r.state) for r in conn.execute(_held(), {"ids": sorted(ids)})}
    done: list[bool] = []
    writes: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for m in moves:
        owner, state = held.get(m.mail_id, (None, None))
        done.append(owner == m.owner and state in m.before)
        if done[-1]:
            values = {f"v_{k}": v for k, v in m.values.items()}
            writes[tuple(sorted(m.values))].append(
                {"m_id": m.mail_id, "v_state": m.state, "v_changed_at": now} | values
            )
    for names, rows_ in writes.items():
        conn.execute(_moving(names), rows_)
    return done


@lru_cache(maxsize=1)
def _held() -> Select[Any]:
    these = outbox.c.id.in_(bindparam("ids", expanding=True))
    return select(outbox.c.id, outbox.c.owner, outbox.c.state).where(these).with_for_update()


@lru_cache(maxsize=64)
def _moving(names: tuple[str, ...]) -> Update:
    changed = {outbox.c[k]: bindparam(f"v_{k}", type_=outbox.c[k].type) for k in (*names, "state", "changed_at")}
    return update(outbox).where(outbox.c.id == bindparam("m_id")).values(changed)
