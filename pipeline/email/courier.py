"""A courier: one connection to the mail server, one mail at a time, and the commits that couriers share."""

from __future__ import annotations

import smtplib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any, Protocol

from sqlalchemy import Connection

from pipeline.clock import Clock
from pipeline.email import bounce, smtp
from pipeline.email.reply import Outcome, Reply, Verb, outcome, said, strikes
from pipeline.email.traffic import Breaker, Bucket
from pipeline.errors import PausedError
from pipeline.settings import Settings, SmtpSettings
from pipeline.store.database import Database
from pipeline.store.outbox import LEASE, Claim, Move
from pipeline.store.outbox import apply as apply_move

Opened = Callable[[SmtpSettings], smtplib.SMTP]
_LOST = (OSError, smtplib.SMTPException)
"""What smtplib raises when the other side is gone, or does not speak SMTP."""


class Mails(Protocol):
    """Where couriers get their mails."""

    stopped: threading.Event
    suppressed: int
    timed_out: bool

    def take(self) -> Claim | None: ...
    def done(self, claim: Claim) -> None: ...
    def stop(self) -> None: ...
    def release(self) -> None: ...


@dataclass
class _Ticket:
    move: Move
    also: Callable[[Connection], None] | None
    applied: bool | None = None
    error: BaseException | None = None


class Commits:
    """Durable moves. Couriers that want to commit at the same moment share one transaction, so one sync of the disk."""

    def __init__(self, db: Database, clock: Clock):
        self._db, self._clock = db, clock
        self._waiting: list[_Ticket] = []
        self._list = threading.Lock()
        self._turn = threading.Lock()

    def apply(self, move: Move, also: Callable[[Connection], None] | None = None) -> bool:
        """Committed when it returns. `also` runs in the same transaction when the move took place."""
        mine = _Ticket(move, also)
        with self._list:
            self._waiting.append(mine)
        with self._turn:
            if mine.applied is None and mine.error is None:
                self._commit()
        if mine.error is not None:
            raise mine.error
        return bool(mine.applied)

    def _commit(self) -> None:
        with self._list:
            batch, self._waiting = self._waiting, []
        now = self._clock.now()
        try:
            results = []
            with self._db.begin() as conn:
                for t in batch:
                    results.append(apply_move(conn, t.move, now))
                    if results[-1] and t.also is not None:
                        t.also(conn)
        except BaseException as e:
            for t in batch:
                t.error = e
            return
        for t, applied in zip(batch, results, strict=True):
            t.applied = applied


@dataclass
class Shared:
    """What the couriers of one pass have in common."""

    db: Database
    settings: Settings
    clock: Clock
    queue: Mails
    bucket: Bucket
    breaker: Breaker
    opened: Opened
    paused: PausedError | None = None
    counted: Counter[str] = field(default_factory=Counter)
    commits: Commits = field(init=False)

    def __post_init__(self) -> None:
        self.commits = Commits(self.db, self.clock)

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
        self._server: smtplib.SMTP | None = None
        self._used = False
        self._sender = parseaddr(shared.settings.smtp.sender)[1]

    def run(self) -> None:
        try:
            while (claim := self._s.queue.take()) is not None:
                self._one(claim)
                self._s.queue.done(claim)
        except BaseException:
            # Our own failure: the row stays as it is, for the recovery of the next pass.
            if self._server is not None:
                self._server.close()
            raise
        if self._server is not None:
            smtp.disconnect(self._server)

    def _one(self, claim: Claim) -> None:
        if self._s.queue.stopped.wait(self._s.bucket.take()):
            self._move(claim, "claimed", "queued", owner=None)
            return
        server = self._connected(claim)
        if server is not None:
            self._deliver(server, claim)
        self._used = True

    def _connected(self, claim: Claim) -> smtplib.SMTP | None:
        if self._server is not None:
            return self._server
        try:
            self._server = self._s.opened(self._s.settings.smtp)
            self._used = False
        except _LOST as e:
            code = getattr(e, "smtp_code", 0)
            reply = said(code, getattr(e, "smtp_error", b"")) if code else Reply(0, f"could not connect: {e}")
            self._later(claim, "claimed", reply)
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
            return None
        return self._server

    def _deliver(self, server: smtplib.SMTP, claim: Claim) -> None:
        """MAIL, RCPT, commit, DATA, the mail, the dot, commit."""
        sender = bounce.envelope_sender(self._s.settings, claim.id) or self._sender
        try:
            if self._settled(claim, "claimed", "MAIL", smtp.mail_from(server, sender)):
                return
            if self._settled(claim, "claimed", "RCPT", smtp.rcpt_to(server, claim.recipient)):
                return
        except _LOST as e:
            if self._used:
                # Servers hang up on connections that were idle or had their share; a new one settles it.
                server.close()
                self._server = None
                self._one(claim)
                return
            self._lost(claim, "claimed", "deferred", f"lost before DATA: {e}")
            return
        began = {"lease_until": self._s.clock.now() + LEASE, "attempts": claim.attempts + 1}
        move = Move(claim.id, claim.owner, ("claimed",), "transmitting", began, still_wanted=True)
        if not self._s.commits.apply(move):
            # Unsubscribed since it was claimed, or not ours any more.
            self._move(claim, "claimed", "suppressed", reply="not wanted any more")
            self._after_refusal(None)
            return
        self._transmit(server, claim)

    def _transmit(self, server: smtplib.SMTP, claim: Claim) -> None:
        try:
            if self._settled(claim, "transmitting", "DATA", smtp.data(server)):
                return
            smtp.body(server, claim.message)
        except _LOST as e:
            self._lost(claim, "transmitting", "deferred", f"lost before the end of the mail: {e}")
            return
        try:
            reply = smtp.end(server)
        except _LOST as e:
            self._lost(claim, "transmitting", "uncertain", f"lost after the mail was handed over: {e}")
            return
        self._settled(claim, "transmitting", "end", reply)

    def _settled(self, claim: Claim, before: str, verb: Verb, reply: Reply) -> bool:
        """Act on a reply; False when the conversation goes on."""
        found: Outcome = outcome(verb, reply)
        if found == "go on":
            return False
        if found == "sent":
            self._s.breaker.forgive()
            self._move(claim, before, "sent", reply=str(reply))
            return True
        if found == "uncertain":
            self._lost(claim, before, "uncertain", f"an answer that is none: {reply}")
            return True
        if found in ("defer", "pause"):
            self._later(claim, before, reply)
        else:
            now = self._s.clock.now()
            self._move(
                claim, before, "failed", reply=str(reply),
                also=lambda conn: self._refused(conn, claim, reply, now) if found == "refused" else None,
            )  # fmt: skip
        if found == "pause":
            what = "the sender" if verb == "MAIL" else "us: its policy"
            self._s.pause(
                PausedError(f"The mail server refused {what}", why=str(reply), hint="check smtp.sender; podsift doctor")
            )
        if strikes(reply):
            self._s.strike(str(reply))
        self._after_refusal(reply)
        return True

    def _after_refusal(self, reply: Reply | None) -> None:
        assert self._server is not None
        # After a 421 the server hangs up.
        if (reply is not None and reply.code == 421) or not smtp.reset(self._server):
            self._server.close()
            self._server = None

    def _refused(self, conn: Connection, claim: Claim, reply: Reply, now: datetime) -> None:
        bounce.refused(conn, self._s.settings, claim, reply, now)

    def _lost(self, claim: Claim, before: str, state: str, why: str) -> None:
        assert self._server is not None
        self._server.close()
        self._server = None
        if state == "deferred":
            self._later(claim, before, Reply(0, why))
        else:
            self._move(claim, before, state, reply=why[:500])
        self._s.strike(why[:500])

    def _later(self, claim: Claim, before: str, reply: Reply) -> None:
        at = self._s.clock.now() + timedelta(minutes=self._s.settings.smtp.retry_minutes)
        self._move(
            claim, before, "deferred", reply=str(reply) if reply.code else reply.text[:500], next_at=at,
            attempts=claim.attempts + 1, owner=None,
        )  # fmt: skip

    def _move(
        self, claim: Claim, before: str, state: str, also: Callable[[Connection], None] | None = None, **values: Any
    ) -> None:
        # What the server said counts also when the row was taken for a dead sender's meanwhile.
        from_ = ("transmitting", "uncertain") if before == "transmitting" else (before,)
        if self._s.commits.apply(Move(claim.id, claim.owner, from_, state, values | {"lease_until": None}), also):
            self._s.counted[state] += 1
