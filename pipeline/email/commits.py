"""Durable moves of mails: one thread commits, and whatever arrives while it waits for the disk goes with the next one.

A sync of the disk takes milliseconds, a mail's two moves take microseconds: so syncs are what couriers share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from pipeline.clock import Clock
from pipeline.store import outbox_moves
from pipeline.store.database import Database
from pipeline.store.outbox import Claim
from pipeline.store.outbox_moves import Move

Also = Callable[[Connection], None]
T = TypeVar("T")


ENOUGH, LINGER_S = 4, 0.002
"""A commit of fewer moves waits so long for company, unless all connections wait for it."""


@dataclass
class _Ticket:
    what: Claim | Move
    also: Also | None
    done: asyncio.Future[bool]


class Commits:
    """Made on the event loop that uses it; `close` ends its thread."""

    def __init__(self, db: Database, clock: Clock, couriers: int):
        self._db, self._clock = db, clock
        self._enough = min(ENOUGH, couriers)
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "outbox")
        self._waiting: list[_Ticket] = []
        self._working = False
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self, claim: Claim) -> bool:
        """`transmitting`: committed when this is true; false for a mail that is not wanted, or not ours, any more."""
        return await self._add(claim, None)

    async def settle(self, move: Move, also: Also | None = None) -> bool:
        """What became of a mail, committed; `also` runs in the same transaction when the move took place."""
        return await self._add(move, also)

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Other work on the database, in its turn: in a transaction of its own."""

        def worked() -> T:
            with self._db.begin() as conn:
                return work(conn)

        return await self._loop.run_in_executor(self._thread, worked)

    def close(self) -> None:
        self._thread.shutdown()

    def _add(self, what: Claim | Move, also: Also | None) -> asyncio.Future[bool]:
        ticket = _Ticket(what, also, self._loop.create_future())
        self._waiting.append(ticket)
        self._plan()
        return ticket.done

    def _plan(self) -> None:
        """One commit at a time; the next begins when there is enough, and after this turn of the loop."""
        if self._working or not self._waiting:
            return
        enough = len(self._waiting) >= self._enough
        if self._timer is not None and enough:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_later(0.0 if enough else LINGER_S, self._start)

    def _start(self) -> None:
        self._working, self._timer = True, None
        batch, self._waiting = self._waiting, []
        working = self._loop.run_in_executor(self._thread, self._commit, batch)
        working.add_done_callback(lambda found: self._committed(batch, found))

    def _committed(self, batch: list[_Ticket], found: asyncio.Future[list[bool]]) -> None:
        self._working = False
        error = found.exception()
        for k, ticket in enumerate(batch):
            if ticket.done.done():
                continue  # nobody waits any more
            if error is not None:
                ticket.done.set_exception(error)
            else:
                ticket.done.set_result(found.result()[k])
        self._plan()

    def _commit(self, batch: list[_Ticket]) -> list[bool]:
        now = self._clock.now()
        moves = [t.what for t in batch if isinstance(t.what, Move)]
        starts = [t.what for t in batch if isinstance(t.what, Claim)]
        with self._db.begin() as conn:
            moved = dict(zip([m.mail_id for m in moves], outbox_moves.apply(conn, moves, now), strict=True))
            for t in batch:
                if isinstance(t.what, Move) and moved[t.what.mail_id] and t.also is not None:
                    t.also(conn)
            begun = set[int]()
            for owner in {c.owner for c in starts}:
                begun |= outbox_moves.begin(conn, [c.id for c in starts if c.owner == owner], owner, now)
        return [moved[t.what.mail_id] if isinstance(t.what, Move) else t.what.id in begun for t in batch]
