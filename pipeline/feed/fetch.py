"""Fetching a feed document: conditional, bounded in decoded size and in total time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.answer import Body, fresh_for, retry_after
from pipeline.errors import FetchError
from pipeline.records import FeedForUpdate
from pipeline.settings import FeedSettings
from pipeline.urls import basic, redact
from pipeline.wire import Deadline, Wire

FULL_EVERY = timedelta(days=7)
LONGEST_VALIDATOR = 1000
LARGE = 1_000_000
"""A body above this waits for room, as a hundred of the largest at once would fill the memory."""
Room = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FetchedFeed:
    """A server's answer. `body` is None unless the status is 200; `bytes` are decoded."""

    status: int
    final_url: str
    permanent_url: str | None
    body: bytes | None
    sha256: str | None
    etag: str | None
    last_modified: str | None
    bytes: int
    seconds: float
    content_type: str | None = None
    retry_after_s: float | None = None
    max_age_s: float | None = None
    """How long the answer is fresh, by Cache-Control, else by Expires."""
    conditional: bool = False
    wire_bytes: int = 0


def conditions(feed: FeedForUpdate, now: datetime) -> dict[str, str]:
    """If-None-Match and If-Modified-Since, verbatim; none once a week, as some servers answer 304 for ever."""
    if feed.last_full_at is None or now - feed.last_full_at > FULL_EVERY:
        return {}
    found = {"If-None-Match": feed.etag, "If-Modified-Since": feed.last_modified}
    return {k: v for k, v in found.items() if v and validator(v)}


def validator(value: str | None) -> str | None:
    """An ETag or date that can be sent back: one that is not ASCII would break every later request."""
    return value if value and value.isascii() and value.isprintable() and len(value) <= LONGEST_VALIDATOR else None


async def fetch(
    wire: Wire,
    feed: FeedForUpdate,
    settings: FeedSettings,
    auth: tuple[str, str] | None = None,
    *,
    now: datetime | None = None,
    room: Room | None = None,
) -> FetchedFeed:
    """GET the feed. Raises FetchError and RefusedError; any status is an answer.

    `auth` is (user, password), sent to the feed's own origin only; `now` decides whether the request is conditional.
    `room` is awaited once when the body turns out to be LARGE.
    """
    try:
        async with Deadline(settings.timeout_s) as deadline:
            return await _fetch(wire, feed, settings, auth, now or datetime.now(UTC), room, deadline)
    except TimeoutError as e:
        raise FetchError(f"{redact(feed.url)} took longer than {settings.timeout_s:.0f} s") from e


async def _fetch(
    wire: Wire,
    feed: FeedForUpdate,
    settings: FeedSettings,
    auth: tuple[str, str] | None,
    now: datetime,
    room: Room | None,
    deadline: Deadline,
) -> FetchedFeed:
    began = time.monotonic()
    asked = conditions(feed, now)
    sent = asked | (basic(*auth) if auth else {})
    async with wire.stream(feed.url, sent, deadline=deadline) as (reply, hops):
        body: bytes | None = None
        packed = 0
        if reply.status == 200:
            incoming = Body(feed.url, reply.headers, settings.max_bytes)
            async for raw in reply.raw():
                incoming.add(raw)
                if room is not None and incoming.bytes > LARGE:
                    async with deadline.paused():
                        await room()
                    room = None
            body, packed = incoming.whole(), incoming.wire_bytes
        headers = reply.headers
        fresh = headers.get("expires", "").strip() != "0"
        return FetchedFeed(
            status=reply.status,
            final_url=hops.final_url,
            permanent_url=hops.permanent_url,
            body=body,
            sha256=hashlib.sha256(body).hexdigest() if body is not None else None,
            etag=validator(headers.get("etag")) if fresh else None,
            last_modified=validator(headers.get("last-modified")) if fresh else None,
            bytes=len(body or b""),
            seconds=time.monotonic() - began,
            content_type=headers.get("content-type"),
            retry_after_s=retry_after(headers.get("retry-after"), headers.get("date")),
            max_age_s=fresh_for(headers),
            conditional=bool(asked),
            wire_bytes=packed,
        )
