"""How often one address, or one person, may do what costs something: token buckets, in memory, bounded in number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` at once, and `burst` more in each `seconds`."""

    burst: int
    seconds: float


RATES = {
    "subscribe": Rate(5, 3600),
    "login": Rate(5, 900),
    "form": Rate(30, 60),
    "search": Rate(60, 60),
    "click": Rate(10, 600),
}
"""All but a click are counted by address. One-click unsubscribing is by person: a mail provider clicks for many."""
REMEMBERED = 10_000
"""Addresses and persons that are remembered; the one that was quiet for longest is forgotten first."""


def owner(address: str | None) -> str:
    """Who an address stands for: an IPv6 network of 64 bits is one customer's."""
    try:
        ip = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return f"{int(ip) >> 64:x}/64"
    return str(ip)


class Limits:
    """Buckets by kind, and by address or person."""

    def __init__(self, rates: dict[str, Rate] | None = None):
        self._rates = rates or RATES
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def wait_s(self, kind: str, who: str, now_s: float) -> float:
        """Take one; 0 when it was there, else the seconds until there is one. `now_s` only ever grows."""
        rate = self._rates[kind]
        key = (kind, who)
        with self._lock:
            left, at = self._buckets.pop(key, (float(rate.burst), now_s))
            left = min(rate.burst, left + (now_s - at) * rate.burst / rate.seconds)
            waits = 0.0 if left >= 1 else (1 - left) * rate.seconds / rate.burst
            self._buckets[key] = (left - 1 if left >= 1 else left, now_s)
            while len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        return waits
