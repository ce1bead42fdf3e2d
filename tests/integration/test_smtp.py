"""Sending over real SMTP: exactly once, and uncertain where only a person can know."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.email.delivery import send_due
from pipeline.errors import PausedError
from pipeline.settings import Settings, SmtpSettings
from pipeline.store import outbox, subscribers
from pipeline.store.database import Database
from pipeline.store.tables import outbox as table
from tests.fakes.rows import add_insights, add_subscriber


class Script:
    """What the server answers to RCPT and DATA; what it took."""

    def __init__(self) -> None:
        self.rcpt = "250 ok"
        self.data = "250 ok"
        self.mail = "250 ok"
        self.hang_up = False
        self.took: list[bytes] = []

    async def handle_MAIL(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.mail_from = address
        return self.mail

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if self.data.startswith("250"):
            self.took.append(envelope.original_content)
        if self.hang_up:
            transport: Any = server.transport
            transport.abort()
        return self.data


class FreePort(Controller):
    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def script() -> Iterator[tuple[Script, int]]:
    handler = Script()
    server = FreePort(handler, hostname="127.0.0.1", port=0)
    server.start()
    yield handler, server.port
    server.stop()


@pytest.fixture
def sending(settings: Settings, script: tuple[Script, int]) -> Settings:
    smtp = SmtpSettings(host="127.0.0.1", port=script[1], security="none", timeout_s=5)  # type: ignore[call-arg]
    return settings.model_copy(update={"smtp": smtp})


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def queue(db: Database, settings: Settings, clock: FixedClock, people: int = 1) -> None:
    with db.begin() as conn:
        for k in range(5):
            add_insights(conn, clock.now(), [f"Claim {k} on {k}."], show=k, n=k)
        for k in range(people):
            who = add_subscriber(conn, clock.now(), f"reader{k}@example.org")
            assert build(conn, who, settings, never, clock.now()) is not None


def states(db: Database) -> dict[str, int]:
    with db.begin() as conn:
        return outbox.counts(conn)


def test_sends_once_with_the_bytes_that_were_stored(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int]
) -> None:
    queue(db, sending, clock, people=3)
    assert send_due(db, sending, clock).sent == 3
    assert send_due(db, sending, clock).sent == 0
    assert len(script[0].took) == 3
    with db.begin() as conn:
        stored = {r.message for r in conn.execute(table.select())}
    assert set(script[0].took) == stored


def test_4xx_is_deferred_then_sent(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int]
) -> None:
    queue(db, sending, clock)
    script[0].rcpt = "450 greylisted"
    assert send_due(db, sending, clock).deferred == 1
    script[0].rcpt = "250 ok"
    assert send_due(db, sending, clock).sent == 0  # not before its time
    clock.at += timedelta(minutes=31)
    assert send_due(db, sending, clock).sent == 1


def test_5xx_of_a_recipient_is_final(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int]
) -> None:
    queue(db, sending, clock)
    script[0].rcpt = "550 5.1.1 no such user"
    assert send_due(db, sending, clock).failed == 1


@pytest.mark.parametrize(("verb", "answer"), [("mail", "550 5.7.1 no"), ("rcpt", "550 5.7.515 policy")])
def test_policy_pauses_the_run_and_loses_nobody(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int], verb: str, answer: str
) -> None:
    queue(db, sending, clock, people=9)
    setattr(script[0], verb, answer)
    with pytest.raises(PausedError):
        send_due(db, sending, clock)
    after = states(db)
    assert after["deferred"] + after["queued"] == 9 and after["deferred"] <= sending.smtp.connections
    setattr(script[0], verb, "250 ok")
    held = send_due(db, sending, clock)  # the pause holds over the next passes
    assert (held.sent, states(db)) == (0, after) and answer in (held.held or "")
    clock.at += timedelta(minutes=31)
    assert send_due(db, sending, clock).sent == 9
    assert send_due(db, sending, clock).held is None


def test_line_lost_after_data_is_uncertain_and_never_resent_by_itself(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int]
) -> None:
    queue(db, sending, clock)
    script[0].hang_up = True
    assert send_due(db, sending, clock).uncertain == 1
    script[0].hang_up = False
    clock.at += timedelta(hours=5)
    assert send_due(db, sending, clock).sent == 0
    with db.begin() as conn:
        outbox.resolve(conn, 1, "queued", clock.now())
    assert send_due(db, sending, clock).sent == 1
    assert script[0].took[0] == script[0].took[1]


class Killed(BaseException):
    """Stands for kill -9: nothing after it is written."""


@pytest.mark.parametrize("verb", ["rcpt", "data"])
def test_a_kill_is_told_apart_by_data(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int], verb: str
) -> None:
    queue(db, sending, clock)

    class Dying(smtplib.SMTP):
        def rcpt(self, *a: Any, **k: Any) -> Any:
            if verb == "rcpt":
                raise Killed
            return super().rcpt(*a, **k)

        def send(self, s: Any) -> None:
            super().send(s)
            if s == b".\r\n":
                self.getreply()  # the server has taken the mail
                raise Killed

    def opened(smtp: SmtpSettings) -> smtplib.SMTP:
        server = Dying(smtp.host or "", smtp.port, timeout=5)
        server.ehlo()
        return server

    with pytest.raises(Killed):
        send_due(db, sending, clock, opened=opened)
    with db.begin() as conn:
        outbox.end_leases(conn)  # what a fresh process does once it holds the lock
    after = send_due(db, sending, clock)
    assert (after.sent, states(db)) == ((1, {"sent": 1}) if verb == "rcpt" else (0, {"uncertain": 1}))
    assert len(script[0].took) == 1


def test_unsubscribing_reaches_mail_that_waits(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int]
) -> None:
    queue(db, sending, clock)
    with db.begin() as conn:
        subscribers.remove(conn, 1, clock.now())
    assert send_due(db, sending, clock).sent == 0
    assert states(db) == {"suppressed": 1}


def test_a_server_that_is_away_defers(db: Database, settings: Settings, clock: FixedClock) -> None:
    smtp = SmtpSettings(host="127.0.0.1", port=1, security="none", timeout_s=2)  # type: ignore[call-arg]
    away = settings.model_copy(update={"smtp": smtp})
    queue(db, away, clock)
    assert send_due(db, away, clock).deferred == 1


def test_a_stale_digest_expires(db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int]) -> None:
    queue(db, sending, clock)
    clock.at += timedelta(days=2)
    assert send_due(db, sending, clock).sent == 0
    assert states(db) == {"failed": 1}
