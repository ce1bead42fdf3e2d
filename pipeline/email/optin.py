"""Double opt-in: an address gets a confirm mail and nothing else until its owner says yes.

Whoever asks is told the same whether the address is known or not; a confirm mail goes out at most once an hour and
three times a day to one address.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pipeline.clock import iso_z
from pipeline.digest.wishes import checked
from pipeline.email import suppress, tokens
from pipeline.email.addresses import check
from pipeline.email.confirm import confirm_mail
from pipeline.email.links import confirm_link
from pipeline.errors import ConfigError, NotFoundError
from pipeline.records import Subscriber
from pipeline.schedule import EVERY_DAY, next_digest
from pipeline.settings import Settings
from pipeline.store import outbox, subscribers

SAID = {
    "asked": "a confirm mail is on its way",
    "again": "a confirm mail went out a short while ago; none is sent now",
    "known": "the address gets the digest already",
    "suppressed": "the address is on the suppression list",
}
"""What became of a request. For the operator; a page says the same for all of them."""
_BETWEEN, _A_DAY = timedelta(hours=1), 3


def new_row(
    settings: Settings, email: str, wishes: Mapping[str, Any], now: datetime, consent: Mapping[str, Any]
) -> dict[str, Any]:
    """A pending subscriber's row with the defaults of the settings. Raises UsageError."""
    given = settings.digest
    wanted = {"time_zone": given.time_zone, "hour": given.hour, "minute": 0, "count": given.count} | dict(wishes)
    found = {k: list(v) if isinstance(v, tuple) else v for k, v in checked(wanted).items()}
    return found | {
        "email": check(email),
        "state": "pending",
        "nonce": secrets.token_hex(16),
        "created_at": now,
        "consent": {"asked_at": iso_z(now)} | {str(k)[:40]: str(v)[:200] for k, v in consent.items()},
        "next_digest_at": None,
    }


def ask(
    conn: Connection,
    settings: Settings,
    email: str,
    now: datetime,
    consent: Mapping[str, Any],
    *,
    wishes: Mapping[str, Any] | None = None,
    by_person: bool = True,
) -> str:
    """Somebody wants the digest at `email`: queue a confirm mail. Returns a key of SAID.

    `consent` is kept as proof (`{"how": "web", "from": "192.0.2.1"}`), `wishes` are preferences. `by_person`: who asks
    is, or says that they are, the owner, so an address that left or bounced softly may come back; an import brings
    neither back. Raises UsageError for what is not an address or a wrong wish, ConfigError without `web.base_url` or a
    secret key. The yes itself is `store.subscribers.activate`, with the token's holder.
    """
    if settings.web.base_url is None:
        raise ConfigError("A confirm mail needs a link", hint="set web.base_url, or add --confirmed")
    row = new_row(settings, email, wishes or {}, now, consent)
    reason = suppress.why(conn, settings, row["email"])
    if reason and not (by_person and reason == "soft"):
        return "suppressed"
    try:
        known = subscribers.find(conn, row["email"])
    except NotFoundError:
        who = subscribers.add(conn, row)
    else:
        if known.state in ("active", "paused"):
            return "known"
        if known.state == "removed" and not by_person:
            return "suppressed"
        if not _may_mail(conn, known, now):
            return "again"
        who = known if known.state == "pending" else subscribers.add(conn, row)
    if reason:
        suppress.lift(conn, settings, who.email, only=("soft",))
    _queue(conn, settings, who, now)
    return "asked"


def _may_mail(conn: Connection, who: Subscriber, now: datetime) -> bool:
    sent = outbox.times(conn, who.id, "confirm", now - timedelta(days=1))
    return len(sent) < _A_DAY and all(at <= now - _BETWEEN for at in sent)


def _queue(conn: Connection, settings: Settings, who: Subscriber, now: datetime) -> None:
    link = confirm_link(settings, tokens.make(settings, "confirm", who.id, who.nonce, now=now))
    mail = confirm_mail(who, link, settings, now)
    outbox.put(
        conn,
        digest_id=None,
        kind="confirm",
        subscriber_id=who.id,
        recipient=who.email,
        message_id=mail.message_id,
        message=mail.data,
        next_at=now,
        expires_at=now + timedelta(hours=48),
        changed_at=now,
    )


def add_confirmed(
    conn: Connection,
    settings: Settings,
    email: str,
    now: datetime,
    consent: Mapping[str, Any],
    wishes: Mapping[str, Any] | None = None,
) -> Subscriber:
    """Add somebody whose consent the operator vouches for. Raises UsageError."""
    row = new_row(settings, email, wishes or {}, now, consent)
    first = next_digest(now, row["hour"], row["minute"], row["time_zone"], None, row.get("days") or EVERY_DAY)
    return subscribers.add(conn, row | {"state": "active", "next_digest_at": first})
