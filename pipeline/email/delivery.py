"""Sending what the outbox holds, exactly once as far as SMTP can promise it (RFC 1047).

`transmitting` is committed just before DATA. What fails before that is safe to try again; what fails after the whole
mail was handed over, without an answer, is `uncertain` and waits for a person. Several connections work at a time and
share their commits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from pipeline.clock import Clock
from pipeline.email.commits import Commits
from pipeline.email.courier import Courier, Opened, Shared
from pipeline.email.mails import Mails
from pipeline.email.smtp import connect
from pipeline.email.traffic import Breaker, Bucket
from pipeline.settings import Settings
from pipeline.store import outbox
from pipeline.store.database import Database

log = logging.getLogger(__name__)


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
    shared = asyncio.run(_work(db, settings, clock, breaker, opened, limit_s))
    return _end(db, shared, held is not None, unwanted)


async def _work(
    db: Database, settings: Settings, clock: Clock, breaker: Breaker, opened: Opened, limit_s: float | None
) -> Shared:
    """All couriers at once; the first error of ours ends them all and is raised here."""
    commits = Commits(db, clock, settings.smtp.connections)
    mails = Mails(settings, clock, commits, None if limit_s is None else time.monotonic() + limit_s)
    bucket = Bucket(settings.smtp.per_minute, time.monotonic)
    shared = Shared(settings, clock, commits, mails, bucket, breaker, opened)
    couriers = [asyncio.create_task(Courier(shared).run()) for _ in range(settings.smtp.connections)]
    try:
        await asyncio.wait(couriers, return_when=asyncio.FIRST_EXCEPTION)
        mails.stop()
        # A mail under way is brought to its end.
        await asyncio.wait(couriers)
        errors = [e for c in couriers if (e := c.exception()) is not None]
        if errors:
            raise errors[0]
        await mails.release()
    except asyncio.CancelledError:  # Ctrl-C
        mails.stop()
        await asyncio.wait(couriers)
        await mails.release()
        raise
    finally:
        commits.close()
    return shared


def _end(db: Database, shared: Shared, was_held: bool, unwanted: int) -> Sent:
    now, name = shared.clock.now(), server_name(shared.settings)
    until: datetime | None = None
    why = shared.breaker.why
    if shared.paused is not None:
        until, why = now + timedelta(minutes=shared.settings.smtp.retry_minutes), str(shared.paused)
    elif shared.breaker.open:
        until = now + shared.breaker.rest
    with db.begin() as conn:
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
