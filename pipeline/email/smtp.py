"""Sending what the outbox holds, exactly once as far as SMTP can promise it (RFC 1047).

`transmitting` is committed just before DATA. What fails before that is safe to try again; what fails after it, without
an answer, is `uncertain` and waits for a person.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Any

from pipeline.clock import Clock
from pipeline.errors import PausedError
from pipeline.settings import Settings, SmtpSettings
from pipeline.store import outbox
from pipeline.store.database import Database


@dataclass(frozen=True, slots=True)
class Sent:
    """What one pass over the outbox did."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    uncertain: int = 0


def connect(smtp: SmtpSettings) -> smtplib.SMTP:
    """Open a session: TLS as set, login when a username is set."""
    assert smtp.host is not None
    tls = ssl.create_default_context()
    server: smtplib.SMTP
    if smtp.security == "tls":
        server = smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=smtp.timeout_s, context=tls)
    else:
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=smtp.timeout_s)
    try:
        server.ehlo()
        if smtp.security == "starttls":
            server.starttls(context=tls)
            server.ehlo()
        if smtp.username:
            server.login(smtp.username, smtp.password.get_secret_value() if smtp.password else "")
    except BaseException:
        server.close()
        raise
    return server


def send_due(
    db: Database, settings: Settings, clock: Clock, *, opened: Callable[[SmtpSettings], smtplib.SMTP] = connect
) -> Sent:
    """Send every due mail over one connection. Raises PausedError when the server refuses us, not a recipient."""
    if settings.smtp.host is None:
        return Sent()
    with db.begin() as conn:
        outbox.recover(conn, clock.now())
        outbox.expire(conn, clock.now())
    tally = {"sent": 0, "deferred": 0, "failed": 0, "uncertain": 0}
    server: smtplib.SMTP | None = None
    try:
        while True:
            with db.begin() as conn:
                mail = outbox.claim(conn, clock.now())
            if mail is None:
                break
            try:
                if server is None:
                    server = opened(settings.smtp)
            except (OSError, smtplib.SMTPException) as e:
                _put_back(db, settings, clock, mail, f"could not connect: {e}")
                if isinstance(e, smtplib.SMTPAuthenticationError):
                    raise PausedError(
                        "The mail server refused the login", hint="check smtp.username and smtp.password"
                    ) from e
                tally["deferred"] += 1
                break
            state = _deliver(db, settings, clock, server, mail)
            tally[state] += 1
            if state in ("uncertain", "deferred"):
                server.close()
                server = None
    finally:
        if server is not None:
            _quit(server)
    return Sent(**tally)


def _quit(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        server.close()


def _put_back(db: Database, settings: Settings, clock: Clock, mail: dict[str, Any], reply: str) -> None:
    at = clock.now() + timedelta(minutes=settings.smtp.retry_minutes)
    with db.begin() as conn:
        outbox.move(conn, mail["id"], mail["state"], "deferred", clock.now(), next_at=at, reply=reply, lease_until=None)


def _deliver(db: Database, settings: Settings, clock: Clock, server: smtplib.SMTP, mail: dict[str, Any]) -> str:
    """One conversation: MAIL, RCPT, commit, DATA. Returns the mail's new state."""

    def end(state: str, before: str, reply: str) -> str:
        with db.begin() as conn:
            outbox.move(conn, mail["id"], before, state, clock.now(), reply=reply, lease_until=None)
        return state

    def defer(reply: str) -> str:
        _put_back(db, settings, clock, mail, reply)
        return "deferred"

    try:
        server.rset()
        code, said = server.mail(parseaddr(settings.smtp.sender)[1])
        if code >= 500:
            defer(_said(code, said))
            raise PausedError("The mail server refused the sender", why=_said(code, said), hint="check smtp.sender")
        if code >= 400:
            return defer(_said(code, said))
        code, said = server.rcpt(mail["recipient"])
        if code >= 500 and b"5.7." in said:
            defer(_said(code, said))
            raise PausedError("The mail server's policy refuses us", why=_said(code, said), hint="podsift doctor")
        if code >= 500:
            return end("failed", "claimed", _said(code, said))
        if code >= 400:
            return defer(_said(code, said))
    except (OSError, smtplib.SMTPException) as e:
        return defer(f"lost before DATA: {e}")
    with db.begin() as conn:
        if not outbox.move(conn, mail["id"], "claimed", "transmitting", clock.now()):
            server.rset()
            return "deferred"
    mail["state"] = "transmitting"
    try:
        code, said = server.data(mail["message"])
    except smtplib.SMTPDataError as e:  # the DATA command itself was refused: nothing was transmitted
        return defer(_said(e.smtp_code, e.smtp_error)) if e.smtp_code < 500 else end("failed", "transmitting", str(e))
    except (OSError, smtplib.SMTPException) as e:
        return end("uncertain", "transmitting", f"lost after DATA: {e}")
    if code >= 500:
        return end("failed", "transmitting", _said(code, said))
    if code >= 400:
        return defer(_said(code, said))
    return end("sent", "transmitting", _said(code, said))


def _said(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {text}"[:500]
