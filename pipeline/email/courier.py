"""A courier: one connection to the mail server, one mail at a time. Many work on one event loop."""

from __future__ import annotations

import asyncio
import smtplib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any, Protocol

from sqlalchemy import Connection

from pipeline.clock import Clock
from pipeline.email import bounce, smtp
from pipeline.email.commits import Also, Commits
from pipeline.email.line import Line
from pipeline.email.reply import Outcome, Reply, Verb, outcome, said, strikes
from pipeline.email.traffic import Breaker, Bucket
from pipeline.errors import PausedError
from pipeline.settings import Settings, SmtpSettings
from pipeline.store.outbox import Claim
from pipeline.store.outbox_moves import Move

Opened = Callable[[SmtpSettings], smtplib.SMTP]
_LOST = (OSError, smtplib.SMTPException)
"""What smtplib raises when the other side is gone, or does not speak SMTP."""


class Source(Protocol):
    """Where couriers get their mails."""

    stopped: asyncio.Event
    suppressed: int
    timed_out: bool

    async def take(self) -> Claim | None: ...
    def done(self, claim: Claim) -> None: ...
    def stop(self) -> None: ...


@dataclass
class Shared:
    """What the couriers of one pass have in common."""

    settings: Settings
    clock: Clock
    commits: Commits
    queue: Source
    bucket: Bucket
    breaker: Breaker
    opened: Opened
    paused: PausedError | None = None
    counted: Counter[str] = field(default_factory=Counter)

    def tally(self) -> dict[str, int]:
        """Mails by what became of them."""
        found = {k: self.counted[k] for k in ("sent", "deferred", "failed", "uncertain")}
        return found | {"suppressed": self.queue.suppressed + self.counted["suppressed"]}

    def pause(self, error: PausedError) -> None:
        """Nothing more is sent in this pass."""
        self.paused = self.paused or error
        self.queue.stop()

    def strike(self, why: str) -> None:
        if self.breaker.strike(why):
            self.queue.stop()


class Courier:
    """Works until the queue is empty or stopped."""

    def __init__(self, shared: Shared):
        self._s = shared
        self._line: Line | None = None
        self._used = False
        self._sender = parseaddr(shared.settings.smtp.sender)[1]

    async def run(self) -> None:
        try:
            while (claim := await self._s.queue.take()) is not None:
                await self._one(claim)
                self._s.queue.done(claim)
        except BaseException:
            # Our own failure: the row stays as it is, for the recovery of the next pass.
            if self._line is not None:
                self._line.close()
            raise
        if self._line is not None:
            await self._line.quit()

    async def _one(self, claim: Claim) -> None:
        wait_s = self._s.bucket.take()
        if wait_s > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._s.queue.stopped.wait(), wait_s)
        if self._s.queue.stopped.is_set():
            await self._move(claim, "claimed", "queued", owner=None)
            return
        line = await self._connected(claim)
        if line is not None:
            await self._deliver(line, claim)
        self._used = True

    async def _connected(self, claim: Claim) -> Line | None:
        if self._line is not None and not self._line.quiet:
            # Hung up, or out of step, while nothing was asked of it.
            self._hang_up()
        if self._line is not None:
            return self._line
        smtp_ = self._s.settings.smtp
        try:
            self._line = Line(await asyncio.to_thread(self._s.opened, smtp_), smtp_.timeout_s)
            self._used = False
        except _LOST as e:
            code = getattr(e, "smtp_code", 0)
            reply = said(code, getattr(e, "smtp_error", b"")) if code else Reply(0, f"could not connect: {e}")
            if isinstance(e, smtplib.SMTPAuthenticationError) and code >= 500:
                error = PausedError(
                    "The mail server refused the login", why=str(reply), hint="check smtp.username and smtp.password"
                )
                error.__cause__ = e
                self._s.pause(error)
            else:
                self._s.strike(str(reply))
                # One that cannot be reached is tried again with the next pass, not once for each mail.
                self._s.queue.stop()
            await self._later(claim, "claimed", reply)
            return None
        return self._line

    async def _deliver(self, line: Line, claim: Claim) -> None:
        """MAIL, RCPT, commit, DATA, the mail, the dot, commit."""
        sender = bounce.envelope_sender(self._s.settings, claim.id) or self._sender
        try:
            if await self._settled(claim, "claimed", "MAIL", await smtp.mail_from(line, sender)):
                return
            if await self._settled(claim, "claimed", "RCPT", await smtp.rcpt_to(line, claim.recipient)):
                return
        except _LOST as e:
            if self._used:
                # Servers hang up on connections that were idle or had their share; a new one settles it.
                self._hang_up()
                await self._one(claim)
                return
            await self._lost(claim, "claimed", "deferred", f"lost before DATA: {e}")
            return
        if not await self._s.commits.begin(claim):
            # Unsubscribed since it was claimed, or not ours any more.
            await self._move(claim, "claimed", "suppressed", reply="not wanted any more")
            await self._after_refusal(None)
            return
        await self._transmit(line, claim)

    async def _transmit(self, line: Line, claim: Claim) -> None:
        try:
            if await self._settled(claim, "transmitting", "DATA", await smtp.data(line)):
                return
            await smtp.body(line, claim.message)
        except _LOST as e:
            await self._lost(claim, "transmitting", "deferred", f"lost before the end of the mail: {e}")
            return
        try:
            reply = await smtp.end(line)
        except _LOST as e:
            await self._lost(claim, "transmitting", "uncertain", f"lost after the mail was handed over: {e}")
            return
        await self._settled(claim, "transmitting", "end", reply)

    async def _settled(self, claim: Claim, before: str, verb: Verb, reply: Reply) -> bool:
        """Act on a reply; False when the conversation goes on."""
        found: Outcome = outcome(verb, reply)
        if found == "go on":
            return False
        if found == "sent":
            self._s.breaker.forgive()
            await self._move(claim, before, "sent", reply=str(reply))
            return True
        if found == "uncertain":
            await self._lost(claim, before, "uncertain", f"an answer that is none: {reply}")
            return True
        # The other couriers know before this one waits for its commit.
        if found == "pause":
            what = "the sender" if verb == "MAIL" else "us: its policy"
            self._s.pause(
                PausedError(f"The mail server refused {what}", why=str(reply), hint="check smtp.sender; podsift doctor")
            )
        if strikes(reply):
            self._s.strike(str(reply))
        if found in ("defer", "pause"):
            await self._later(claim, before, reply)
        else:
            now = self._s.clock.now()
            await self._move(
                claim, before, "failed", reply=str(reply),
                also=lambda conn: self._refused(conn, claim, reply, now) if found == "refused" else None,
            )  # fmt: skip
        await self._after_refusal(reply)
        return True

    async def _after_refusal(self, reply: Reply | None) -> None:
        assert self._line is not None
        # After a 421 the server hangs up.
        if (reply is not None and reply.code == 421) or not await smtp.reset(self._line):
            self._hang_up()

    def _refused(self, conn: Connection, claim: Claim, reply: Reply, now: datetime) -> None:
        bounce.refused(conn, self._s.settings, claim, reply, now)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    async def _lost(self, claim: Claim, before: str, state: str, why: str) -> None:
        self._hang_up()
        self._s.strike(why[:500])
        if state == "deferred":
            await self._later(claim, before, Reply(0, why))
        else:
            await self._move(claim, before, state, reply=why[:500])

    async def _later(self, claim: Claim, before: str, reply: Reply) -> None:
        at = self._s.clock.now() + timedelta(minutes=self._s.settings.smtp.retry_minutes)
        await self._move(
            claim, before, "deferred", reply=str(reply) if reply.code else reply.text[:500], next_at=at,
            attempts=claim.attempts + 1, owner=None,
        )  # fmt: skip

    async def _move(self, claim: Claim, before: str, state: str, also: Also | None = None, **values: Any) -> None:
        # What the server said counts also when the row was taken for a dead sender's meanwhile.
        from_ = ("transmitting", "uncertain") if before == "transmitting" else (before,)
        move = Move(claim.id, claim.owner, from_, state, values | {"lease_until": None})
        if await self._s.commits.settle(move, also):
            self._s.counted[state] += 1
