"""Sending over real SMTP: exactly once, and uncertain where only a person can know."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import Connection

from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.email import smtp
from pipeline.email.delivery import send_due
from pipeline.email.line import Line
from pipeline.email.mails import Mails
from pipeline.email.reply import Reply
from pipeline.errors import PausedError
from pipeline.settings import Settings, SmtpSettings
from pipeline.store import outbox, outbox_moves, subscribers
from pipeline.store.database import Database
from pipeline.store.tables import outbox_message
from tests.fakes.rows import add_insights, add_subscriber


class Script:
    """What the server answers to RCPT and DATA; what it took."""

    def __init__(self) -> None:
        self.rcpt = "250 ok"
        self.data = "250 ok"
        self.mail = "250 ok"
        self.hang_up = False
        self.then = ""
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
        if self.then:
            asyncio.get_running_loop().call_later(0.01, self._bye, server.transport)
        return self.data

    def _bye(self, transport: Any) -> None:
        if self.then == "says 421":
            transport.write(b"421 4.4.2 idle for too long\r\n")
        transport.close()


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
        stored = {r.message for r in conn.execute(outbox_message.select())}
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
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int], verb: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    queue(db, sending, clock)
    asked = smtp.rcpt_to

    async def dying_rcpt(line: Line, recipient: str) -> Reply:
        await asked(line, recipient)
        raise Killed

    async def dying_end(line: Line) -> Reply:
        await line.reply()  # the server has taken the mail
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(smtp, *(("rcpt_to", dying_rcpt) if verb == "rcpt" else ("end", dying_end)))
        with pytest.raises(Killed):
            send_due(db, sending, clock)
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


def test_a_recipient_who_leaves_before_data_gets_nothing(
    db: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(db, sending, clock, people=3)
    asked = smtp.rcpt_to

    async def leaving(line: Line, recipient: str) -> Reply:
        if recipient == "reader1@example.org":
            with db.begin() as conn:
                subscribers.remove(conn, 2, clock.now())
        return await asked(line, recipient)

    monkeypatch.setattr(smtp, "rcpt_to", leaving)
    done = send_due(db, sending, clock)
    assert (done.sent, done.suppressed, states(db)) == (2, 1, {"sent": 2, "suppressed": 1})
    assert not [m for m in script[0].took if b"To: reader1@" in m]


def test_many_mails_to_one_domain_go_in_one_pass(
    sqlite: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int]
) -> None:
    queue(sqlite, sending, clock, people=1)
    with sqlite.begin() as conn:
        for k in range(220):
            who = add_subscriber(conn, clock.now(), f"many{k}@{'other' if k == 210 else 'example'}.org")
            row = {"digest_id": None, "subscriber_id": who.id, "recipient": who.email, "message_id": f"<{k}@x>"}
            times = {"next_at": clock.now(), "expires_at": clock.now() + timedelta(days=1), "changed_at": clock.now()}
            outbox.put(conn, **row, **times, message=b"Subject: x\r\n\r\n.dot\r\n", kind="digest")
    narrow = sending.smtp.model_copy(update={"connections": 4, "per_domain": 1})
    done = send_due(sqlite, sending.model_copy(update={"smtp": narrow}), clock)
    assert done.sent == 221 and not done.more and states(sqlite) == {"sent": 221}
    assert sum(m == b"Subject: x\r\n\r\n.dot\r\n" for m in script[0].took) == 220
    assert [b"other" in m for m in script[0].took].count(True) == 0  # the bytes name nobody
    assert len(script[0].took) == 221


@pytest.mark.parametrize("how", ["closes", "says 421"])
def test_a_server_that_hangs_up_between_mails_costs_nothing(
    how: str, sqlite: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    queue(sqlite, sending, clock, people=4)
    script[0].then = how
    one = sending.model_copy(update={"smtp": sending.smtp.model_copy(update={"connections": 1})})
    taken = Mails.take

    async def slowly(self: Mails) -> outbox.Claim | None:
        await asyncio.sleep(0.05)  # the server's goodbye arrives while nothing is asked of it
        return await taken(self)

    monkeypatch.setattr(Mails, "take", slowly)
    done = send_due(sqlite, one, clock)
    assert (done.sent, done.deferred, done.held) == (4, 0, None) and len(script[0].took) == 4


def test_an_encrypted_line(
    sqlite: Database, sending: Settings, clock: FixedClock, tmp_path: Path, script: tuple[Script, int]
) -> None:
    queue(sqlite, sending, clock, people=5)
    ours, theirs = contexts(tmp_path)
    server = FreePort(script[0], hostname="127.0.0.1", port=0, ssl_context=theirs)
    server.start()

    def opened(wanted: SmtpSettings) -> smtplib.SMTP:
        made = smtplib.SMTP_SSL("127.0.0.1", server.port, timeout=5, context=ours)
        made.ehlo()
        return made

    try:
        with sqlite.begin() as conn:  # more than one TLS record, and than a socket takes at once
            conn.execute(outbox_message.update().values(message=b"Subject: x\r\n\r\n" + (b"y" * 498 + b"\r\n") * 2000))
        assert send_due(sqlite, sending, clock, opened=opened).sent == 5
    finally:
        server.stop()
    assert [len(m) for m in script[0].took] == [1_000_014] * 5


def test_a_database_that_fails_ends_the_pass_and_nothing_goes_twice(
    sqlite: Database, sending: Settings, clock: FixedClock, script: tuple[Script, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(sqlite, sending, clock, people=12)
    applied, left = outbox_moves.apply, [3]

    def failing(conn: Connection, moves: Sequence[outbox_moves.Move], now: datetime) -> list[bool]:
        left[0] -= any(m.state == "sent" for m in moves)
        if left[0] < 0:
            raise OSError("the disk is gone")
        return applied(conn, moves, now)

    with monkeypatch.context() as patched:
        patched.setattr(outbox_moves, "apply", failing)
        with pytest.raises(OSError, match="the disk is gone"):
            send_due(sqlite, sending, clock)
    with sqlite.begin() as conn:
        outbox.end_leases(conn)
    send_due(sqlite, sending, clock)
    found = states(sqlite)
    assert set(found) == {"sent", "uncertain"} and found["sent"] + found["uncertain"] == 12
    assert len(script[0].took) == len(set(script[0].took)) == 12
    assert found["uncertain"] <= 2 * sending.smtp.connections


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's that trusts the certificate of a server's, made just now for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    (folder / "server.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(folder / "server.pem")
    return ssl.create_default_context(cadata=pem.decode()), theirs
