"""Bounces and complaints: whose they are, what they say, and what follows.

Only a report that carries one of our signed addresses (VERP), or the Message-ID of a mail that we sent, changes
anything; everything else is told apart and left. Reports are read up to a limit: they come from anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message

from sqlalchemy import Connection

from pipeline.email import suppress
from pipeline.email.reply import Reply
from pipeline.secretbox import secret_keys
from pipeline.settings import Settings
from pipeline.store import bounces, subscribers
from pipeline.store.outbox import Claim

MAX_BYTES = 256_000
"""Of a report; its machine-readable parts come before the copy of the mail."""
MAX_PARTS = 50
MAX_RECIPIENTS = 50
KINDS = {
    "hard": "the address does not exist (5.1.x): suppressed",
    "soft": "the mail did not arrive, another may; many within the window suppress",
    "complaint": "reported as spam: suppressed at once",
    "policy": "the receiving side refuses us, not the person: nobody is suppressed",
    "delayed": "a server still tries, or delivered it",
    "unknown": "no report, or none on a mail of ours",
    "repeated": "this very report was taken before",
}
"""What a report may turn out to be."""
_VERP = re.compile(r"\+(\d{1,18})-([0-9a-f]{20})@", re.IGNORECASE)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_OUR_SENDER = ("5.1.7", "5.1.8")
_TO = ("to", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "original-mail-from", "return-path")


@dataclass(frozen=True, slots=True)
class Happened:
    """What a report was (KINDS), of which mail, with which status, and whether it put the address on the list."""

    kind: str
    mail_id: int | None = None
    status: str | None = None
    detail: str = ""
    suppressed: bool = False


# --- our addresses ---------------------------------------------------------------------------------------------------


def _signatures(settings: Settings, outbox_id: int) -> list[str]:
    # Hex, not base64: some servers fold the case of the local part.
    return [
        hmac.new(key.encode(), f"podsift bounce {outbox_id}".encode(), hashlib.sha256).hexdigest()[:20]
        for key in secret_keys(settings).values()
    ]


def envelope_sender(settings: Settings, outbox_id: int) -> str | None:
    """The address that a mail's bounces come back to, `bounce+12-<signature>@example.org`; None when that is off."""
    if settings.bounce.address is None:
        return None
    local, _, domain = settings.bounce.address.rpartition("@")
    return f"{local}+{outbox_id}-{_signatures(settings, outbox_id)[0]}@{domain}"


def mail_of(settings: Settings, text: str) -> int | None:
    """The outbox id of the first of our signed addresses in a header; None when there is none, or a forged one."""
    for m in _VERP.finditer(text[:5000]):
        if any(hmac.compare_digest(m[2].lower(), s) for s in _signatures(settings, int(m[1]))):
            return int(m[1])
    return None


# --- reading a report ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """What a message says, before anybody looked whose it is."""

    kind: str
    status: str | None
    detail: str
    addresses: tuple[str, ...]
    """Header values that may hold one of our signed addresses."""
    message_ids: tuple[str, ...]
    """Of the mail that is reported."""


def read(data: bytes) -> Report:
    """Read a DSN (RFC 3464) or a complaint (RFC 5965); anything else is `unknown`. Never raises on what it is given."""
    try:
        message = message_from_bytes(data[:MAX_BYTES])
        parts = list(_parts(message))
        kind, status, detail = _complaint(parts) or _delivery(parts) or ("unknown", None, "no delivery report")
        return Report(kind, status, detail, tuple(_addresses(parts)), tuple(_ids(parts)))
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as e:
        # The standard parser is made for mail, not against it; what breaks it is no report.
        return Report("unknown", None, f"unreadable: {type(e).__name__}", (), ())


def _parts(message: Message) -> Iterator[Message]:
    """The message and its parts, down a few levels and up to a number, outermost first."""
    level = [message]
    seen = 0
    for _ in range(6):
        below: list[Message] = []
        for part in level:
            seen += 1
            if seen > MAX_PARTS:
                return
            yield part
            inner = part.get_payload()
            if isinstance(inner, list):
                below += [p for p in inner[:MAX_PARTS] if isinstance(p, Message)]
        level = below


def _text(part: Message, name: str) -> str:
    value = part.get(name)
    return "" if value is None else " ".join("".join(c if c.isprintable() else " " for c in str(value)[:500]).split())


def _complaint(parts: list[Message]) -> tuple[str, str | None, str] | None:
    for part in parts:
        kind = _text(part, "Feedback-Type").lower()
        if part is not parts[0] and kind:
            if kind in ("abuse", "fraud", "virus", "opt-out", "other"):
                return "complaint", None, f"feedback report: {kind}"
            return "unknown", None, f"feedback report: {kind[:40]}"
    return None


def _delivery(parts: list[Message]) -> tuple[str, str | None, str] | None:
    blocks = [p for p in parts[1:] if p.get("Action") is not None][:MAX_RECIPIENTS]
    told = [_recipient(b) for b in blocks]
    order = ("hard", "soft", "policy", "delayed")
    return min(told, key=lambda t: order.index(t[0])) if told else None


def _recipient(block: Message) -> tuple[str, str | None, str]:
    action, diagnostic = _text(block, "Action").lower(), _text(block, "Diagnostic-Code")
    m = _STATUS.search(_text(block, "Status")) or _STATUS.search(diagnostic)
    status = m[0] if m else None
    detail = (diagnostic or f"{action} {status or ''}".strip())[:300]
    return (classify(status) if action == "failed" else "delayed"), status, detail


def classify(status: str | None) -> str:
    """`hard`, `soft` or `policy` of a delivery that failed with this enhanced status (RFC 3463)."""
    if status is None:
        return "soft"
    if status.startswith("5.7.") or status in _OUR_SENDER:
        return "policy"
    return "hard" if status.startswith("5.1.") else "soft"


def _addresses(parts: list[Message]) -> Iterator[str]:
    for part in parts:
        for name in _TO:
            for value in (part.get_all(name) or [])[:10]:
                yield str(value)[:5000]


def _ids(parts: list[Message]) -> Iterator[str]:
    for part in parts[1:]:
        value = _text(part, "Message-ID")
        if value:
            yield value


# --- acting on it ----------------------------------------------------------------------------------------------------


def take(conn: Connection, settings: Settings, data: bytes, now: datetime) -> Happened:
    """Take a report as it came (from a mailbox or a webhook): store it and do what follows. Again is harmless.

    Raises ConfigError without a secret key.
    """
    digest = hashlib.sha256(data).hexdigest()
    if bounces.known(conn, digest):
        return Happened("repeated")
    report = read(data)
    mail_id = next((i for a in report.addresses if (i := mail_of(settings, a)) is not None), None)
    mail = bounces.mail(conn, mail_id=mail_id) if mail_id is not None else None
    if mail is None and report.kind == "complaint":
        # Some feedback loops cut the envelope; our Message-ID has a part of the subscriber's nonce in it.
        mail = next((m for i in report.message_ids if (m := bounces.mail(conn, message_id=i)) is not None), None)
    if mail is None:
        return Happened("unknown", detail=report.detail)
    return _act(conn, settings, mail, Happened(report.kind, mail.id, report.status, report.detail), digest, now)


def refused(conn: Connection, settings: Settings, claim: Claim, reply: Reply, now: datetime) -> Happened:
    """The server refused a recipient for good while we spoke to it; counts like a bounce with that status."""
    mail = bounces.Mail(claim.id, claim.subscriber_id, claim.recipient)
    digest = hashlib.sha256(f"rcpt {claim.id} {claim.owner} {claim.attempts}".encode()).hexdigest()
    return _act(conn, settings, mail, Happened(classify(reply.status), claim.id, reply.status, str(reply)), digest, now)


def _act(
    conn: Connection, settings: Settings, mail: bounces.Mail, what: Happened, digest: str, now: datetime
) -> Happened:
    bounces.add(conn, mail, what.kind, what.status, what.detail, digest, now)
    reason = what.kind if what.kind in ("hard", "complaint") else None
    if what.kind == "soft":
        window = now - timedelta(days=settings.bounce.soft_days)
        n = bounces.soft_count(conn, mail.subscriber_id, window)
        reason = "soft" if n >= settings.bounce.soft_limit else None
    if reason is None:
        return what
    if settings.secret_key is not None:
        suppress.suppress(conn, settings, mail.recipient, reason, what.detail or what.kind, now)
    subscribers.remove(conn, mail.subscriber_id, now)
    return Happened(what.kind, what.mail_id, what.status, what.detail, suppressed=True)
