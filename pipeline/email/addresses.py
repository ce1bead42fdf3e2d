"""Addresses: checked when they come in, and built for unsubscribing."""

from __future__ import annotations

import re
from email.utils import parseaddr
from urllib.parse import quote

from pipeline.errors import UsageError
from pipeline.records import Subscriber
from pipeline.settings import Settings

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")


def check(address: str) -> str:
    """A plain ASCII mail address, domain in lower case. Raises UsageError."""
    address = address.strip()
    if not _ADDRESS.fullmatch(address) or ".." in address:
        raise UsageError(f"{address!r} is not a mail address", hint="give it as name@example.org")
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def reply_address(settings: Settings) -> str:
    """Where answers and mailto unsubscribing go."""
    return parseaddr(settings.smtp.reply_to or settings.smtp.sender)[1]


def sender_domain(settings: Settings) -> str:
    """The domain of List-Id and Message-ID."""
    return parseaddr(settings.smtp.sender)[1].rpartition("@")[2] or "localhost"


def unsubscribe_mailto(who: Subscriber, settings: Settings) -> str:
    """A mailto link; there is no web page to link to as long as no public base URL exists."""
    return f"mailto:{reply_address(settings)}?subject={quote(f'unsubscribe {who.nonce}')}"
