"""Bounces and complaints: read right, acted on only when they are ours, bounded when they are hostile."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.email import bounce, suppress
from pipeline.settings import Settings
from pipeline.store import bounces, outbox, subscribers, suppression
from pipeline.store.database import Database
from tests.fakes.rows import add_insights, add_subscriber

KEYS = {"secret_key": "k1:0123456789abcdef", "bounce": {"address": "bounce@example.org", "soft_limit": 3}}


@pytest.fixture
def ours(settings: Settings) -> Settings:
    return Settings.model_validate(settings.model_dump() | KEYS)


def dsn(
    to: str, action: str = "failed", status: str = "5.1.1", diagnostic: str = "smtp; 550 5.1.1 no such user"
) -> bytes:
    return (
        f"From: MAILER-DAEMON@mx.example.net\r\nTo: {to}\r\nSubject: Undelivered\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\nMIME-Version: 1.0\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nI am sorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"
        f"Final-Recipient: rfc822; reader@example.org\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: {diagnostic}\r\n\r\n"
        "--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: podsift@example.org\r\nSubject: x\r\n\r\nwords\r\n--b--\r\n"
    ).encode()


def arf(message_id: str, original_from: str = "<>", kind: str = "abuse") -> bytes:
    return (
        "From: fbl@mailbox.example\r\nTo: abuse@example.org\r\nSubject: complaint\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\nMIME-Version: 1.0\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nThis is a report.\r\n"
        f"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: FBL/1\r\n"
        f"Version: 1\r\nOriginal-Mail-From: {original_from}\r\n\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: {message_id}\r\nSubject: x\r\n\r\nwords\r\n--b--\r\n"
    ).encode()


def mailed(db: Database, settings: Settings, clock: FixedClock, days: int = 1) -> list[int]:
    """Ids of one reader's mails, one a day."""
    made = []
    for day in range(days):
        with db.begin() as conn:
            add_insights(conn, clock.now(), [f"Claim of day {day}."], n=day)
            who = subscribers.listed(conn)[0] if day else add_subscriber(conn, clock.now())
            assert build(conn, who, settings, lambda *_: None, clock.now()) is not None
            made.append(outbox.listed(conn)[0]["id"])
        clock.at += timedelta(days=1)
    return made


def address(settings: Settings, mail_id: int) -> str:
    made = bounce.envelope_sender(settings, mail_id)
    assert made is not None and len(made.partition("@")[0]) <= 64
    return made


def test_the_address_is_signed(ours: Settings) -> None:
    made = address(ours, 12)
    assert made.startswith("bounce+12-") and bounce.mail_of(ours, f"<{made.upper()}>") == 12
    assert bounce.mail_of(ours, made.replace("+12-", "+13-")) is None
    other = Settings.model_validate(KEYS | {"secret_key": "k2:ffffffffffffffff,k1:0123456789abcdef"})
    assert bounce.mail_of(other, made) == 12 and address(other, 12) != made


def test_a_hard_bounce_suppresses_and_outlives_the_person(db: Database, ours: Settings, clock: FixedClock) -> None:
    (mail_id,) = mailed(db, ours, clock)
    report = dsn(address(ours, mail_id))
    with db.begin() as conn:
        got = bounce.take(conn, ours, report, clock.now())
        assert (got.kind, got.mail_id, got.status, got.suppressed) == ("hard", mail_id, "5.1.1", True)
        assert bounce.take(conn, ours, report, clock.now()).kind == "repeated"
        assert subscribers.find(conn, "reader@example.org").state == "removed"
        assert outbox.counts(conn) == {"suppressed": 1}
        assert bounces.counts(conn) == {"hard": 1}
        subscribers.erase(conn, 1)
        assert suppress.why(conn, ours, "Reader@Example.org") == "hard"
        assert "reader" not in str(suppression.listed(conn))
        assert suppress.lift(conn, ours, "reader@example.org") and suppression.listed(conn) == []


def test_soft_ones_suppress_only_in_number_and_within_the_window(
    db: Database, ours: Settings, clock: FixedClock
) -> None:
    ids = mailed(db, ours, clock, days=4)

    def soft(k: int, n: int = 0) -> bool:
        with db.begin() as conn:
            report = dsn(address(ours, ids[k]), status="4.2.2", diagnostic=f"smtp; 452 4.2.2 full {n}")
            got = bounce.take(conn, ours, report, clock.now())
        assert got.kind == "soft"
        return got.suppressed

    assert not soft(0)
    assert [soft(0, n) for n in (1, 2, 3)] == [False] * 3  # one mail counts once
    clock.at += timedelta(days=15)
    assert [soft(1), soft(2)] == [False, False]  # the first is out of the window
    assert soft(3)


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("failed", "5.1.10", "hard"),
        ("failed", "5.1.8", "policy"),
        ("failed", "5.7.26", "policy"),
        ("failed", "5.2.2", "soft"),
        ("failed", "4.4.7", "soft"),
        ("delayed", "4.4.1", "delayed"),
        ("relayed", "2.1.9", "delayed"),
        ("Failed", "nonsense", "hard"),  # the diagnostic carries 5.1.1
    ],
)
def test_kinds(action: str, status: str, kind: str) -> None:
    assert bounce.read(dsn("x@example.org", action, status)).kind == kind


def test_a_complaint_suppresses_at_once_by_address_or_message_id(
    db: Database, ours: Settings, clock: FixedClock
) -> None:
    (mail_id,) = mailed(db, ours, clock)
    with db.begin() as conn:
        name = outbox.get(conn, mail_id)["message_id"]
        assert bounce.take(conn, ours, arf("<digest.1.1.forged00@localhost>"), clock.now()).kind == "unknown"
        assert bounce.take(conn, ours, arf(name, kind="not-spam"), clock.now()).kind == "unknown"
        assert subscribers.find(conn, "reader@example.org").state == "active"
        got = bounce.take(conn, ours, arf(name), clock.now())
        assert (got.kind, got.suppressed) == ("complaint", True)
        assert suppress.why(conn, ours, "reader@example.org") == "complaint"
        assert bounce.take(conn, ours, arf("<?>", f"<{address(ours, mail_id)}>"), clock.now()).kind == "complaint"


def test_forged_reports_change_nothing(db: Database, ours: Settings, clock: FixedClock) -> None:
    (mail_id,) = mailed(db, ours, clock)
    with db.begin() as conn:
        for to in (f"bounce+{mail_id}-{'0' * 20}@example.org", "bounce@example.org", address(ours, 999999999999)):
            assert bounce.take(conn, ours, dsn(to), clock.now()).kind == "unknown"
        assert suppression.listed(conn) == [] and bounces.listed(conn) == []


def nested(depth: int) -> bytes:
    head = b"".join(b'Content-Type: multipart/report; boundary="b%d"\r\n\r\n--b%d\r\n' % (k, k) for k in range(depth))
    return b"MIME-Version: 1.0\r\n" + head + b"Action: failed\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        nested(2000),
        b"To: " + b"bounce+1-" * 100_000 + b"\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 60_000,
        b"Content-Type: message/delivery-status\r\n\r\n" + b"Action: failed\r\n\r\n" * 30_000,
        b"A" * 5_000_000,
        b"Content-Type: text/plain; charset==?x?\r\nTo: =?utf-8?b?////?=\r\n\r\n\xff\xfe\x00",
        b"",
    ],
    ids=["deep", "long-header", "many-parts", "many-recipients", "large", "bad-words", "empty"],
)
def test_hostile_reports_are_bounded(data: bytes, ours: Settings) -> None:
    began = time.process_time()
    report = bounce.read(data)
    assert report.kind in bounce.KINDS
    assert [bounce.mail_of(ours, a) for a in report.addresses] in ([], [None])
    assert time.process_time() - began < 3


@given(st.binary(max_size=400), st.integers(0, 900))
@hypothesis_settings(max_examples=60)
def test_any_bytes_are_read(noise: bytes, at: int) -> None:
    good = dsn("x@example.org")
    assert bounce.read(good[:at] + noise + good[at:]).kind in bounce.KINDS
    assert bounce.read(noise).kind in bounce.KINDS
