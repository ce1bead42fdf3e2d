"""Sending what the outbox holds, exactly once as far as SMTP can promise it (RFC 1047).

`transmitting` is committed just before DATA. What fails before that is safe to try again; what fails after the whole
mail was handed over, without an answer, is `uncertain` and waits for a person. Several connections work at a time and
share their commits.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from pipeline.clock import Clock
from pipeline.email import suppress
from pipeline.email.courier import Courier, Opened, Shared
from pipeline.email.smtp import connect
from pipeline.email.traffic import Breaker, Bucket, Domains
from pipeline.settings import Settings
from pipeline.store import outbox
from pipeline.store.database import Database

log = logging.getLogger(__name__)
BATCH = 50


@dataclass(frozen=True, slots=True)
class Sent:
    """What one pass over the outbox did."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    uncertain: int = 0
    suppressed: int = 0
    more: bool = False
    """The time for this pass was over before the mails were."""
    held: str | None = None
    """Why the server is left alone, when it is."""

    def plus(self, other: Sent) -> Sent:
        """Both passes as one."""
        counts = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[:5]}
        return Sent(**counts, more=other.more, held=other.held)


def server_name(settings: Settings) -> str:
    """What a hold is kept under."""
    return f"{settings.smtp.host}:{settings.smtp.port}"


def send_due(
    db: Database, settings: Settings, clock: Clock, *, opened: Opened = connect, limit_s: float | None = None
) -> Sent:
    """Send every due mail; `limit_s` ends the pass earlier.

    Raises PausedError when the server refuses us, not a person.

    The caller is the only sender (`digest.work.sole_sender`).
    """
    if settings.smtp.host is None:
        return Sent()
    now, name = clock.now(), server_name(settings)
    with db.begin() as conn:
        outbox.recover(conn, now)
        outbox.expire(conn, now)
        unwanted = outbox.drop_unwanted(conn, now)
        held = next((h for h in outbox.holds(conn) if h["server"] == name), None)
    if held is not None and held["until"] > now:
        return Sent(suppressed=unwanted, held=f"{name} is left alone until {held['until']:%H:%M} UTC: {held['why']}")
    breaker = Breaker(settings.smtp.breaker, held["strikes"] if held else 0)
    queue = Queue(db, settings, clock, None if limit_s is None else time.monotonic() + limit_s)
    shared = Shared(db, settings, clock, queue, Bucket(settings.smtp.per_minute, time.monotonic), breaker, opened)
    _work(shared, settings.smtp.connections)
    queue.release()
    return _end(shared, held is not None, unwanted)


def _work(shared: Shared, connections: int) -> None:
    """All couriers at once; the first error of ours ends them all and is raised here."""
    first: list[BaseException] = []

    def run() -> None:
        try:
            Courier(shared).run()
        except BaseException as e:
            first.append(e)
            shared.queue.stop()

    if connections == 1:
        run()
    else:
        threads = [threading.Thread(target=run, name=f"courier-{k}", daemon=True) for k in range(connections)]
        for t in threads:
            t.start()
        try:
            for t in threads:
                t.join()
        except BaseException:
            shared.queue.stop()
            for t in threads:
                t.join()
            raise
    if first:
        raise first[0]


def _end(shared: Shared, was_held: bool, unwanted: int) -> Sent:
    now, name = shared.clock.now(), server_name(shared.settings)
    until: datetime | None = None
    why = shared.breaker.why
    if shared.paused is not None:
        until, why = now + timedelta(minutes=shared.settings.smtp.retry_minutes), str(shared.paused)
    elif shared.breaker.open:
        until = now + shared.breaker.rest
    with shared.db.begin() as conn:
        if until is not None or shared.breaker.strikes:
            outbox.hold(conn, name, until or now, why, shared.breaker.strikes)
        elif was_held:
            outbox.release(conn, name)
    if shared.paused is not None:
        raise shared.paused
    tally = shared.tally()
    tally["suppressed"] += unwanted
    if until is not None:
        log.warning("%s is left alone until %s: %s", name, until, why)
    return Sent(**tally, more=shared.queue.timed_out, held=why if until is not None else None)


class Queue:
    """Claimed mails that couriers take from: due ones first, never more to a domain at a time than it may have."""

    def __init__(self, db: Database, settings: Settings, clock: Clock, ends: float | None):
        self._db, self._settings, self._clock, self._ends = db, settings, clock, ends
        self._owner = secrets.token_hex(8)
        self._waiting: list[outbox.Claim] = []
        self._domains = Domains(settings.smtp.per_domain)
        self._out = 0
        self._dry = False
        self._changed = threading.Condition()
        self.stopped = threading.Event()
        self.timed_out = False
        self.suppressed = 0

    def take(self) -> outbox.Claim | None:
        """The next mail, waiting for a domain's slot where need be. None when there is nothing left to do."""
        with self._changed:
            while not self.stopped.is_set():
                if self._ends is not None and time.monotonic() >= self._ends:
                    self.timed_out = True
                    return None
                at = self._domains.first_free(self._waiting)
                if at is None and not self._dry:
                    self._refill()
                    at = self._domains.first_free(self._waiting)
                if at is not None:
                    claim = self._waiting.pop(at)
                    self._domains.enter(claim.domain)
                    self._out += 1
                    return claim
                if not self._waiting and self._dry:
                    return None
                self._changed.wait(1.0)
        return None

    def done(self, claim: outbox.Claim) -> None:
        """A courier has finished with a mail."""
        with self._changed:
            self._domains.leave(claim.domain)
            self._out -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """No further mail is handed out."""
        self.stopped.set()
        with self._changed:
            self._changed.notify_all()

    def _refill(self) -> None:
        full = {c.domain for c in self._waiting} if len(self._waiting) >= BATCH else set()
        now = self._clock.now()
        with self._db.begin() as conn:
            got = outbox.claim(conn, now, self._owner, BATCH, full)
            barred = suppress.whys(conn, self._settings, [c.recipient for c in got])
            for c in got:
                if c.recipient in barred:
                    note = {"reply": f"on the suppression list: {barred[c.recipient]}", "lease_until": None}
                    outbox.apply(conn, outbox.Move(c.id, c.owner, ("claimed",), "suppressed", note), now)
        self._waiting += [c for c in got if c.recipient not in barred]
        self.suppressed += len(barred)
        self._dry = len(got) < BATCH

    def release(self) -> None:
        """Give back what was claimed and not begun."""
        with self._changed, self._db.begin() as conn:
            for c in self._waiting:
                free = {"owner": None, "lease_until": None}
                outbox.apply(conn, outbox.Move(c.id, c.owner, ("claimed",), "queued", free), self._clock.now())
            self._waiting.clear()
