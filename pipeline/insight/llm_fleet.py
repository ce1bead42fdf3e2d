"""Several servers of the same language model: whose turn it is, and which are left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_S = 15.0
"""A server that was away is not asked for so long; twice as long each time in a row."""
LONGEST_S = 600.0


@dataclass
class _Server:
    url: str
    failures: int = 0
    until: float = 0.0


class Fleet:
    """In turn, so that work is spread; those that were away only when no other is left. For all threads of a process.

    `now` is a monotonic clock in seconds.
    """

    def __init__(self, urls: tuple[str, ...], now: Callable[[], float] = time.monotonic):
        self._servers = [_Server(u) for u in urls]
        self._now, self._turn, self._lock = now, 0, threading.Lock()

    def order(self) -> list[str]:
        """All servers in the order in which to try them. The next call begins with another one."""
        with self._lock:
            n = len(self._servers)
            turned = [self._servers[(self._turn + k) % n] for k in range(n)]
            self._turn = (self._turn + 1) % n
            now = self._now()
            well = [s for s in turned if s.until <= now]
            # One that comes back soonest first: with all of them away, somebody has to ask.
            ill = sorted((s for s in turned if s.until > now), key=lambda s: s.until)
            return [s.url for s in (*well, *ill)]

    def away(self, url: str) -> bool:
        """Note that a server did not answer. Returns whether another one is thought well."""
        with self._lock:
            now = self._now()
            for s in self._servers:
                if s.url == url:
                    s.until = now + min(LONGEST_S, FIRST_S * 2**s.failures)
                    s.failures = min(s.failures + 1, 10)
            return any(s.until <= now for s in self._servers)

    def answered(self, url: str) -> None:
        """Note that a server is well."""
        with self._lock:
            for s in self._servers:
                if s.url == url:
                    s.failures, s.until = 0, 0.0


_fleets: dict[tuple[str, ...], Fleet] = {}
_making = threading.Lock()


def fleet(urls: tuple[str, ...]) -> Fleet:
    """The one that this process has for these servers."""
    with _making:
        return _fleets.setdefault(urls, Fleet(urls))
