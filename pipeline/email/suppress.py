"""Which addresses get nothing. They are known by an HMAC only, keyed with `secret_key`.

A hash is `<key id>:<hex>`. An address is looked up under every key there is, so a new key in front loses nothing; a
key that is taken out of `secret_key` takes its entries with it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from pipeline.secretbox import secret_keys
from pipeline.settings import Settings
from pipeline.store import suppression


def _folded(address: str) -> bytes:
    return address.strip().lower().encode("utf-8", "replace")


def hashes(settings: Settings, address: str) -> list[str]:
    """The address under each key, newest first; none without a secret key, which leaves the list empty too."""
    if settings.secret_key is None:
        return []
    return [
        f"{name}:{hmac.new(key.encode(), b'podsift suppression ' + _folded(address), hashlib.sha256).hexdigest()}"
        for name, key in secret_keys(settings).items()
    ]


def suppress(conn: Connection, settings: Settings, address: str, reason: str, detail: str, now: datetime) -> bool:
    """Put an address on the list; False when it was there. Raises ConfigError without a secret key."""
    secret_keys(settings)
    mine = hashes(settings, address)
    known = suppression.reasons(conn, mine)
    at = next((h for h in mine if h in known), mine[0])
    return suppression.add(conn, at, reason, detail, now)


def why(conn: Connection, settings: Settings, address: str) -> str | None:
    """The reason (store.suppression.REASONS) for which an address gets nothing, or None."""
    return whys(conn, settings, [address]).get(address)


def whys(conn: Connection, settings: Settings, addresses: Iterable[str]) -> dict[str, str]:
    """Those of the addresses that get nothing, with the reason."""
    by_hash = {h: a for a in addresses for h in hashes(settings, a)}
    return {by_hash[h]: reason for h, reason in suppression.reasons(conn, list(by_hash)).items()}


def lift(conn: Connection, settings: Settings, address: str, *, only: Iterable[str] = suppression.REASONS) -> bool:
    """Take an address off the list, when its reason is one of `only`."""
    return suppression.remove(conn, hashes(settings, address), only=tuple(only)) > 0
