"""DKIM: what we sign, dkimpy (another implementation, with the key from DNS) verifies; a change breaks it."""

from __future__ import annotations

from datetime import UTC, datetime

import dkim as verifier
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from pipeline.email import dkim, message
from pipeline.email.render import render
from pipeline.errors import ConfigError
from pipeline.settings import Settings, SmtpSettings
from tests.unit.email.test_message import AT, WHO, issue

PEM = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)  # fmt: skip


def signing(**more: object) -> Settings:
    smtp = {"sender": "Podsift <podsift@mail.example.org>", "dkim_selector": "s1", "dkim_key": PEM}
    return Settings.model_validate(
        {"secret_key": "k1:0123456789abcdef", "smtp": smtp, "web": {"base_url": "https://pods.example.org"}} | more
    )


def verified(data: bytes, settings: Settings) -> bool:
    name, record = dkim.public_record(settings.smtp)

    def dns(asked: bytes, timeout: int = 5) -> bytes | None:
        return record.encode() if asked.decode().rstrip(".") == name else None

    return bool(verifier.verify(data, dnsfunc=dns))


def sent(settings: Settings) -> bytes:
    return message.build(render(issue(title="Umlaute äöü " * 12), WHO, settings, 7), WHO, 7, settings, AT).data


def test_the_digest_is_signed_and_verifies() -> None:
    settings = signing()
    data = sent(settings)
    assert verified(data, settings) and data == sent(settings)
    covered = data.split(b"bh=")[0].lower()
    assert b"list-unsubscribe:" in covered.replace(b"\r\n\t ", b"") and b"list-unsubscribe-post" in covered
    assert max(len(line) for line in data.split(b"\r\n")) <= 400


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: ", b"Subject: x"),
        (b"List-Unsubscribe: <https://", b"List-Unsubscribe: <http://"),
        (b"The words.", b"The worse."),
        (b"From: Podsift", b"From: Evil <x@evil.example>\r\nFrom: Podsift"),
        (b"\r\nTo: ", b"\r\nReply-To: x@evil.example\r\nTo: "),
    ],
)
def test_a_change_breaks_it(old: bytes, new: bytes) -> None:
    settings = signing()
    data = sent(settings)
    assert old in data
    changed = data.replace(old, new, 1)
    assert not verified(changed, settings)


def test_what_relays_do_to_white_space_leaves_it_whole() -> None:
    settings = signing()
    data = sent(settings)
    subject = next(line for line in data.split(b"\r\n") if line.startswith(b"Message-ID"))
    relayed = data.replace(subject, subject.replace(b": ", b":   ").replace(b"Message-ID", b"message-id")) + b"\r\n\r\n"
    assert verified(relayed, settings)


@given(
    st.lists(st.sampled_from(["a", " ", "\t", "\r\n", ".", "word", "  x "]), max_size=30), st.text("ab \t", max_size=60)
)
def test_any_body_and_subject_verify(body: list[str], subject: str) -> None:
    smtp = signing().smtp
    text = b"Words." + "".join(body).encode() + b"\r\n"
    data = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: x" + subject.encode() + b"\r\n\r\n" + text
    _, record = dkim.public_record(smtp)
    made = dkim.signed(data, smtp, datetime(2026, 1, 1, tzinfo=UTC))
    assert verifier.verify(made, dnsfunc=lambda n, timeout=5: record.encode())


def test_half_a_configuration_is_told() -> None:
    for half in ({"dkim_selector": "s1"}, {"dkim_key": PEM}):
        with pytest.raises(ConfigError, match="go together"):
            dkim.configured(SmtpSettings.model_validate(half))
    bad = SmtpSettings.model_validate({"dkim_selector": "s1", "dkim_key": "no key"})
    with pytest.raises(ConfigError, match="cannot be read"):
        dkim.public_record(bad)
