"""What the sender's domain says of itself in DNS: SPF, the DKIM key, DMARC. Large providers refuse mail without."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline.email import dkim
from pipeline.email.addresses import sender_domain
from pipeline.settings import Settings

Lookup = Callable[[str], list[str] | None]
"""The TXT records of a name: an empty list when there are none, None when nobody could be asked."""
LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One record: `ok`, `warn` or `bad`, and what to do."""

    result: Literal["ok", "warn", "bad"]
    says: str


def lookup(name: str) -> list[str] | None:
    """Ask the system's name servers."""
    import dns.exception
    import dns.resolver

    try:
        found = dns.resolver.resolve(name, "TXT", lifetime=LIMIT_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError):
        return None
    return [b"".join(r.strings).decode("utf-8", "replace") for r in found]


def judged(settings: Settings, ask: Lookup = lookup) -> list[Finding]:
    """SPF, DKIM, DMARC and the links' address, in this order."""
    domain = sender_domain(settings)
    return [_spf(domain, ask), _dkim(settings, ask), _dmarc(domain, ask), _pages(settings)]


def _spf(domain: str, ask: Lookup) -> Finding:
    records = ask(domain)
    if records is None:
        return Finding("warn", f"SPF of {domain} could not be looked up")
    found = [r for r in records if r.lower().split(" ")[0] == "v=spf1"]
    if len(found) > 1:
        return Finding("bad", f"{domain} has {len(found)} SPF records, which counts as none: keep one")
    if not found:
        return Finding("bad", f'{domain} has no SPF record: publish TXT "v=spf1 mx a:YOUR.MAIL.SERVER -all"')
    if re.search(r"(?:^|\s)\+?all\b", found[0]):
        return Finding("bad", f"SPF of {domain} lets everybody send (+all)")
    return Finding("ok", f"SPF of {domain}: {found[0][:120]}")


def _dkim(settings: Settings, ask: Lookup) -> Finding:
    if not dkim.configured(settings.smtp):
        return Finding("warn", "mails are not signed here: set smtp.dkim_key, or see that your mail server signs")
    name, wanted = dkim.public_record(settings.smtp)
    records = ask(name)
    if records is None:
        return Finding("warn", f"DKIM key {name} could not be looked up")
    ours = _tags(wanted)["p"]
    keys = [_tags(r).get("p", "") for r in records]
    if ours in keys:
        return Finding("ok", f"DKIM key {name} is the one that signs")
    if any(keys):
        return Finding("bad", f"{name} holds another key than smtp.dkim_key: publish what `podsift mail dkim` prints")
    return Finding("bad", f"{name} has no DKIM key: publish what `podsift mail dkim` prints")


def _dmarc(domain: str, ask: Lookup) -> Finding:
    # A subdomain without a policy has its organisation's; which labels make that is a list, so two are tried.
    names = [domain] + ([".".join(domain.split(".")[-2:])] if domain.count(".") > 1 else [])
    for name in names:
        records = ask(f"_dmarc.{name}")
        if records is None:
            return Finding("warn", f"DMARC of {domain} could not be looked up")
        for record in records:
            tags = _tags(record)
            if tags.get("v", "").upper() == "DMARC1" and tags.get("p"):
                return Finding("ok", f"DMARC of {name}: p={tags['p'][:20]}")
    return Finding("bad", f'{domain} has no DMARC record: publish TXT "v=DMARC1; p=none" at _dmarc.{domain}')


def _pages(settings: Settings) -> Finding:
    base = settings.web.base_url
    if base is None:
        return Finding("warn", "web.base_url is not set: no one-click unsubscribing, which large providers ask for")
    if not base.startswith("https://"):
        return Finding("bad", f"web.base_url is {base}: one-click unsubscribing needs https")
    return Finding("ok", f"links lead to {base}")


def _tags(record: str) -> dict[str, str]:
    """`v=DKIM1; p=...` as a mapping; white space inside a value is none."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, _, value in pairs if name.strip()}
