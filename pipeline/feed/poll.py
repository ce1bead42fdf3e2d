"""Polling feeds: many are fetched at a time, documents are read in processes of their own, and what was found is
written many feeds at once. One feed's trouble stays its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from pipeline.clock import Clock
from pipeline.errors import ExhaustedError, FetchError, ParseError, PodsiftError
from pipeline.feed import private
from pipeline.feed.decide import fingerprint, host_hold, to_check
from pipeline.feed.fetch import FetchedFeed, fetch
from pipeline.feed.keep import Polled as Polled
from pipeline.feed.keep import SeenFeed, keep
from pipeline.feed.pages import follow
from pipeline.feed.pool import ParserPool
from pipeline.feed.turns import Turns, host_of
from pipeline.records import FeedForUpdate, ParsedFeed
from pipeline.settings import Settings
from pipeline.store import feeds, polls
from pipeline.store.database import Database
from pipeline.urls import same_origin
from pipeline.wire import Wire

AT_A_TIME = 100
"""Feeds in the air. A body of the usual size is some 50 kB."""
LARGE_AT_A_TIME = 4
"""Bodies above `fetch.LARGE` in memory, each up to feed.max_bytes."""
BATCH, BATCH_EPISODES, GATHER_S = 500, 2000, 0.1
Progress = Callable[[int, int], None]
"""(feeds done, of how many)."""
log = logging.getLogger(__name__)


def poll_due(db: Database, settings: Settings, clock: Clock) -> list[Polled]:
    """Poll every feed whose time has come."""
    with db.begin() as conn:
        polls.prune(conn, clock.now())
        due = feeds.due(conn, clock.now())
    return _poll(db, settings, clock, due)


def poll(
    db: Database, settings: Settings, clock: Clock, ids: Sequence[int], *, progress: Progress | None = None
) -> list[Polled]:
    """Poll these feeds now; what was polled is in their order."""
    with db.begin() as conn:
        wanted = [feeds.for_update(conn, i, clock.now()) for i in ids]
    found = {p.feed_id: p for p in _poll(db, settings, clock, wanted, progress)}
    return [found[i] for i in ids]


def _poll(
    db: Database,
    settings: Settings,
    clock: Clock,
    wanted: Sequence[FeedForUpdate],
    progress: Progress | None = None,
) -> list[Polled]:
    return asyncio.run(_Pass(db, settings, clock, progress).run(wanted)) if wanted else []


class _Room:
    """A place among the large bodies, taken when one turns out to be large."""

    def __init__(self, places: asyncio.Semaphore):
        self._places, self._taken = places, False

    async def __call__(self) -> None:
        if not self._taken:
            await self._places.acquire()
            self._taken = True

    def free(self) -> None:
        if self._taken:
            self._places.release()


class _Basket:
    """What was seen and is not stored yet. Whoever finds it full waits until it was emptied."""

    def __init__(self) -> None:
        self._seen: list[SeenFeed] = []
        self._weight = 0
        self._came, self._full, self._emptied = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._closed = False

    async def put(self, seen: SeenFeed) -> None:
        while self._full.is_set():
            await self._emptied.wait()
        self._seen.append(seen)
        self._weight += seen.weight
        self._came.set()
        if len(self._seen) >= BATCH or self._weight >= BATCH_EPISODES:
            self._emptied.clear()
            self._full.set()

    def close(self) -> None:
        """Nothing comes any more."""
        self._closed = True
        self._came.set()
        self._full.set()

    async def take(self) -> list[SeenFeed]:
        """All there is, once it is full or a moment has passed; empty when nothing comes any more."""
        await self._came.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._full.wait()
        taken, self._seen, self._weight = self._seen, [], 0
        if not self._closed:
            self._came.clear()
            self._full.clear()
        self._emptied.set()
        return taken


class _Pass:
    """One pass over feeds: workers that fetch and have read, and one writer behind a bounded queue."""

    def __init__(self, db: Database, settings: Settings, clock: Clock, progress: Progress | None = None):
        self._db, self._settings, self._clock, self._progress = db, settings, clock, progress
        self._places = asyncio.Semaphore(LARGE_AT_A_TIME)
        self._basket = _Basket()
        self._holds: dict[str, datetime] = {}

    async def run(self, wanted: Sequence[FeedForUpdate]) -> list[Polled]:
        with self._db.begin() as conn:
            self._wanted = len(wanted)
            self._turns = Turns(wanted, polls.holds(conn, self._clock.now()))
        async with Wire(self._settings.feed) as self._wire, ParserPool() as self._pool, asyncio.TaskGroup() as group:
            writer = group.create_task(self._write())
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(AT_A_TIME, len(wanted))):
                    workers.create_task(self._work())
            self._basket.close()
        return writer.result()

    async def _work(self) -> None:
        while (turn := await self._turns.take()) is not None:
            f, held = turn
            await self._basket.put(SeenFeed(f, held=held) if held else await self._one(f))

    async def _one(self, f: FeedForUpdate) -> SeenFeed:
        room = _Room(self._places)
        try:
            try:
                way = private.access(f.url, f.credentials, self._settings)
                got = await self._fetch(f, way, room)
            finally:
                self._turns.done(f)
            return await self._read(f, got, way, room)
        except PodsiftError as e:
            return SeenFeed(f, e)
        except Exception as e:  # whatever a hostile server provokes below us stays with its feed
            log.exception("feed %s broke its poll", f.id)
            return SeenFeed(f, FetchError("The feed could not be polled", why=f"{type(e).__name__}: {e}"))
        finally:
            room.free()

    async def _fetch(self, f: FeedForUpdate, way: private.Access, room: _Room) -> FetchedFeed:
        now = self._clock.now()
        asked = replace(f, url=way.url)
        try:
            got = await fetch(self._wire, asked, self._settings.feed, way.auth, now=now, room=room)
        except PodsiftError as e:
            raise way.scrubbed(e) from None
        until = host_hold(got, now)
        if until is not None:
            host = host_of(got.final_url)
            self._turns.hold(host, until)
            self._holds[host] = max(until, self._holds.get(host, until))
        return way.concealed(got, f.url)

    async def _read(self, f: FeedForUpdate, got: FetchedFeed, way: private.Access, room: _Room) -> SeenFeed:
        parsed: ParsedFeed | ParseError | None = None
        if got.body is not None and got.sha256 != f.body_sha256:
            try:
                parsed = way.settled(await self._parse(f, got), f.url)
                parsed = await self._further(f, got, parsed, way, room)
            except ParseError as e:
                parsed = e
        checked = False
        if not isinstance(parsed, ParseError):
            target = to_check(f, got, parsed, self._clock.now())
            checked = target is not None and await self._page(f, target, None, room) is not None
        return SeenFeed(f, replace(got, body=None), parsed, checked)

    async def _parse(self, f: FeedForUpdate, got: FetchedFeed) -> ParsedFeed:
        assert got.body is not None
        if f.bad_sha256 == fingerprint(got.sha256):
            raise ExhaustedError("The feed cannot be read", why="it is the document that took too much the last time")
        return await self._pool.parse(got.body, got.final_url, got.content_type)

    async def _further(
        self, f: FeedForUpdate, got: FetchedFeed, parsed: ParsedFeed, way: private.Access, room: _Room
    ) -> ParsedFeed:
        """The pages behind the first one, when this feed is read for the first time."""
        most = self._settings.feed.max_pages
        if f.last_ok_at is not None or parsed.next_page_url is None or most < 2:
            return parsed
        return await follow(parsed, got.final_url, lambda url: self._page(f, url, way, room), most)

    async def _page(self, f: FeedForUpdate, url: str, way: private.Access | None, room: _Room) -> ParsedFeed | None:
        """The feed document at another address, None when there is none. Credentials go to the same origin only."""
        try:
            auth = way.auth if way and same_origin(url, way.url) else None
            got = await fetch(self._wire, FeedForUpdate(f.id, url), self._settings.feed, auth, room=room)
            if got.body is None:
                return None
            return await self._pool.parse(got.body, got.final_url, got.content_type)
        except PodsiftError as e:
            said = (way or private.Access(url)).scrubbed(e)
            log.info("feed %s: another page of it could not be read: %s", f.id, said)
            return None

    async def _write(self) -> list[Polled]:
        """Store what was seen, as much at a time as has come."""
        done: list[Polled] = []
        while batch := await self._basket.take():
            done += await asyncio.to_thread(keep, self._db, self._settings, batch, self._clock.now())
            if self._progress:
                self._progress(len(done), self._wanted)
        if self._holds:
            with self._db.begin() as conn:
                polls.hold(conn, self._holds, "Retry-After")
        return done
