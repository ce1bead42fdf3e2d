"""How fast, and to whom at a time: a token bucket a server, slots a domain, a breaker for a server that has enough.

All of it is used on one event loop, so nothing is locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from pipeline.store.outbox import Claim

BURST_S = 10.0
"""A bucket holds the mails of so many seconds."""
FIRST_HOLD, LONGEST_HOLD = timedelta(minutes=5), timedelta(hours=2)


class Bucket:
    """Lets `per_minute` mails a minute through, in bursts of ten seconds' worth; 0 lets everything through."""

    def __init__(self, per_minute: float, now: Callable[[], float]):
        self._rate = per_minute / 60.0
        self._most = max(1.0, self._rate * BURST_S)
        self._now = now
        self._tokens = 1.0  # not a whole burst: the run before may have ended a moment ago
        self._at = now()

    def take(self) -> float:
        """Take a token; the seconds to wait before using it."""
        if self._rate <= 0:
            return 0.0
        now = self._now()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._rate)


class Domains:
    """At most `most` mails at a time to one domain."""

    def __init__(self, most: int):
        self._most = most
        self._busy: Counter[str] = Counter()

    def first_free(self, waiting: Sequence[Claim]) -> int | None:
        """The place of the first mail whose domain has a free slot."""
        return next((k for k, c in enumerate(waiting) if self._busy[c.domain] < self._most), None)

    def enter(self, domain: str) -> None:
        self._busy[domain] += 1

    def leave(self, domain: str) -> None:
        self._busy[domain] -= 1


class Breaker:
    """Counts a server's strikes in a row; a mail that it takes forgives them."""

    def __init__(self, most: int, strikes: int = 0):
        self._most = most
        self.strikes = strikes
        self.why = ""

    def strike(self, why: str) -> bool:
        """One more; True when that is enough."""
        self.strikes += 1
        self.why = why
        return self.open

    def forgive(self) -> None:
        self.strikes = 0

    @property
    def open(self) -> bool:
        return self.strikes >= self._most

    @property
    def rest(self) -> timedelta:
        """How long to leave the server alone: five minutes, doubling with each further strike up to two hours."""
        doublings = max(0, min(self.strikes - self._most, 10))
        return min(FIRST_HOLD * 2.0**doublings, LONGEST_HOLD)
