"""SPF, DKIM, DMARC and the links' address, with name servers that answer as told."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.email import dkim
from pipeline.email.domain import judged
from pipeline.settings import Settings

KEY = (
    generate_private_key(65537, 2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)  # fmt: skip


def ours(settings: Settings, **smtp: str) -> Settings:
    more = {
        "smtp": {"sender": "Podsift <digest@mail.example.org>", "dkim_key": KEY, "dkim_selector": "pods"} | smtp,
        "web": {"base_url": "https://pods.example.org"},
    }
    return Settings.model_validate(settings.model_dump() | more)


def good(settings: Settings) -> dict[str, list[str] | None]:
    name, value = dkim.public_record(settings.smtp)
    return {
        "mail.example.org": ["google-site-verification=x", "v=spf1 mx -all"],
        name: [value[:60] + " " + value[60:]],
        "_dmarc.example.org": ["v=DMARC1; p=quarantine; rua=mailto:d@example.org"],
    }


def results(settings: Settings, records: dict[str, list[str] | None]) -> list[str]:
    return [f.result for f in judged(settings, lambda name: records.get(name, []))]


def test_a_domain_that_is_in_order(settings: Settings) -> None:
    who = ours(settings)
    assert results(who, good(who)) == ["ok", "ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("name", "records", "then"),
    [
        ("mail.example.org", [], ["bad", "ok", "ok", "ok"]),
        ("mail.example.org", ["v=spf1 mx -all", "v=spf1 a -all"], ["bad", "ok", "ok", "ok"]),
        ("mail.example.org", ["v=spf1 +all"], ["bad", "ok", "ok", "ok"]),
        ("mail.example.org", ["v=spf10 mx"], ["bad", "ok", "ok", "ok"]),
        ("pods._domainkey.mail.example.org", [], ["ok", "bad", "ok", "ok"]),
        ("pods._domainkey.mail.example.org", ["v=DKIM1; p=AAAA"], ["ok", "bad", "ok", "ok"]),
        ("pods._domainkey.mail.example.org", None, ["ok", "warn", "ok", "ok"]),
        ("_dmarc.example.org", ["v=DMARC1"], ["ok", "ok", "bad", "ok"]),
        ("_dmarc.example.org", None, ["ok", "ok", "warn", "ok"]),
    ],
)
def test_what_is_wrong_is_named(settings: Settings, name: str, records: list[str] | None, then: list[str]) -> None:
    who = ours(settings)
    assert results(who, good(who) | {name: records}) == then


def test_pages_without_https_have_no_one_click(settings: Settings) -> None:
    who = ours(settings)
    plain = Settings.model_validate(who.model_dump() | {"web": {"base_url": "http://pods.example.org"}})
    unset = Settings.model_validate(who.model_dump() | {"web": {}, "smtp": {"sender": "d@mail.example.org"}})
    assert results(plain, good(who))[3] == "bad"
    assert results(unset, good(who)) == ["ok", "warn", "ok", "warn"]
