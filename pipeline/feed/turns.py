"""Whose turn it is: many feeds at a time, two of one host, none of a host that asked to be left alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime

from pipeline.errors import RefusedError
from pipeline.records import FeedForUpdate
from pipeline.urls import target
from pipeline.wire import A_HOST


def host_of(url: str) -> str:
    """The host that limits and holds are kept for; the address itself where it cannot be read."""
    try:
        return target(url).host
    except RefusedError:
        return url


class Turns:
    """Feeds to fetch, by host. A host's feeds follow each other, so that its connections can be used again."""

    def __init__(self, feeds: Iterable[FeedForUpdate], holds: Mapping[str, datetime]):
        self._waiting: dict[str, deque[FeedForUpdate]] = {}
        self._busy: dict[str, int] = {}
        self._holds = dict(holds)
        self._left = 0
        for f in feeds:
            self._waiting.setdefault(host_of(f.url), deque()).append(f)
            self._left += 1
        self._ready = deque(host for host in self._waiting for _ in range(A_HOST))
        self._freed = asyncio.Event()

    async def take(self) -> tuple[FeedForUpdate, datetime | None] | None:
        """The next feed, or None when there is none left; with a time, it is not to be fetched before that.

        What is to be fetched is given back with `done`, what is held is not.
        """
        while self._left:
            if self._ready:
                host = self._ready.popleft()
                waiting = self._waiting.get(host)
                if not waiting:
                    continue
                f = waiting.popleft()
                if not waiting:
                    del self._waiting[host]
                self._left -= 1
                if not self._left:
                    self._freed.set()
                hold = self._holds.get(host)
                if hold is not None:
                    self._ready.appendleft(host)
                return f, hold
            self._freed.clear()
            await self._freed.wait()
        return None

    def done(self, f: FeedForUpdate) -> None:
        """This feed's host has a place free."""
        self._ready.appendleft(host_of(f.url))
        self._freed.set()

    def hold(self, host: str, until: datetime) -> None:
        """The host asked to be left alone: its other feeds wait too."""
        known = self._holds.get(host)
        self._holds[host] = until if known is None else max(known, until)
