"""The mails that couriers take: claimed ahead of them, due ones first, never more to a domain than it may have."""

from __future__ import annotations

import asyncio
import secrets
import time

from sqlalchemy import Connection

from pipeline.clock import Clock
from pipeline.email import suppress
from pipeline.email.commits import Commits
from pipeline.email.traffic import Domains
from pipeline.settings import Settings
from pipeline.store import outbox, outbox_moves
from pipeline.store.outbox import Claim
from pipeline.store.outbox_moves import Move

BATCH = 50
"""Mails claimed at a time, or four for each connection; at most four times as many are in hand, with their bytes."""


class Mails:
    """Used on one event loop."""

    def __init__(self, settings: Settings, clock: Clock, commits: Commits, ends: float | None):
        self._settings, self._clock, self._commits, self._ends = settings, clock, commits, ends
        self._owner = secrets.token_hex(8)
        self._waiting: list[Claim] = []
        self._domains = Domains(settings.smtp.per_domain)
        self._batch = max(BATCH, 4 * settings.smtp.connections)
        self._dry = False
        self._full: frozenset[str] = frozenset()
        """Domains of which nothing more was claimed the last time, since there are enough in hand."""
        self._filling: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.stopped = asyncio.Event()
        self.timed_out = False
        self.suppressed = 0

    async def take(self) -> Claim | None:
        """The next mail, waiting for a domain's slot where need be. None when there is nothing left to do."""
        while not self.stopped.is_set():
            if self._ends is not None and time.monotonic() >= self._ends:
                self.timed_out = True
                return None
            if self._filling is not None and self._filling.done():
                filled, self._filling = self._filling, None
                filled.result()  # raises what it ended with
            at = self._domains.first_free(self._waiting)
            if self._wants_more(at is None):
                self._filling = asyncio.create_task(self._fill())
            if at is not None:
                claim = self._waiting.pop(at)
                self._domains.enter(claim.domain)
                return claim
            if self._filling is not None:
                await asyncio.wait([self._filling])
            elif not self._waiting and self._dry:
                return None
            else:
                await self._change()
        return None

    def done(self, claim: Claim) -> None:
        """A courier has finished with a mail."""
        self._domains.leave(claim.domain)
        self._wake()

    def stop(self) -> None:
        """No further mail is handed out."""
        self.stopped.set()
        self._wake()

    async def release(self) -> None:
        """Give back what was claimed and not begun."""
        if self._filling is not None:
            await self._filling
        free = {"owner": None, "lease_until": None}
        moves = [Move(c.id, c.owner, ("claimed",), "queued", free) for c in self._waiting]
        self._waiting.clear()
        if moves:
            await self._commits.run(lambda conn: outbox_moves.apply(conn, moves, self._clock.now()))

    def _wants_more(self, none_free: bool) -> bool:
        if self._dry or self._filling is not None:
            return False
        n = len(self._waiting)
        # With all domains in hand busy, others may still have a slot: but only once, until some of those have gone.
        return n < self._batch or (
            none_free and n < 4 * self._batch and not {c.domain for c in self._waiting} <= self._full
        )

    async def _fill(self) -> None:
        full = frozenset(c.domain for c in self._waiting) if len(self._waiting) >= self._batch else frozenset()
        claimed, barred = await self._commits.run(lambda conn: self._claim(conn, full))
        self._waiting += [c for c in claimed if c.recipient not in barred]
        self.suppressed += len(barred)
        self._full = full
        self._dry = len(claimed) < self._batch and not full
        self._wake()

    def _claim(self, conn: Connection, full: frozenset[str]) -> tuple[list[Claim], dict[str, str]]:
        now = self._clock.now()
        claimed = outbox.claim(conn, now, self._owner, self._batch, full)
        barred = suppress.whys(conn, self._settings, [c.recipient for c in claimed])
        notes = {a: {"reply": f"on the suppression list: {why}", "lease_until": None} for a, why in barred.items()}
        moves = [
            Move(c.id, c.owner, ("claimed",), "suppressed", notes[c.recipient])
            for c in claimed
            if c.recipient in barred
        ]
        outbox_moves.apply(conn, moves, now)
        return claimed, barred

    def _wake(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        """Until a slot is free, or the time is over."""
        self._changed.clear()
        left = None if self._ends is None else max(0.0, self._ends - time.monotonic())
        try:
            await asyncio.wait_for(self._changed.wait(), left)
        except TimeoutError:
            return
