"""Fetching a feed document: conditional, bounded in decoded size and in total time."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from pipeline import transport
from pipeline.errors import FetchError
from pipeline.records import FeedForUpdate
from pipeline.settings import FeedSettings
from pipeline.transport import retry_after as retry_after

FULL_EVERY = timedelta(days=7)
LONGEST_VALIDATOR = 1000


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
    client: httpx.AsyncClient,
    feed: FeedForUpdate,
    settings: FeedSettings,
    auth: tuple[str, str] | None = None,
    *,
    now: datetime | None = None,
) -> FetchedFeed:
    """GET the feed. Raises FetchError and RefusedError; any status is an answer.

    `auth` is (user, password), sent to the feed's own origin only; `now` decides whether the request is conditional.
    """
    try:
        async with asyncio.timeout(settings.timeout_s):
            return await _fetch(client, feed, settings, auth, now or datetime.now(UTC))
    except TimeoutError as e:
        raise FetchError(f"{transport.redact(feed.url)} took longer than {settings.timeout_s:.0f} s") from e


async def _fetch(
    client: httpx.AsyncClient, feed: FeedForUpdate, settings: FeedSettings, auth: tuple[str, str] | None, now: datetime
) -> FetchedFeed:
    began = time.monotonic()
    asked = conditions(feed, now)
    sent = asked | (transport.basic(*auth) if auth else {})
    async with transport.astream(client, feed.url, sent) as (r, hops):
        body: bytes | None = None
        wire = 0
        if r.status_code == 200:
            incoming = transport.Body(feed.url, r, settings.max_bytes)
            async for raw in r.aiter_raw():
                incoming.add(raw)
            body, wire = incoming.whole(), incoming.wire_bytes
        fresh = r.headers.get("expires", "").strip() != "0"
        return FetchedFeed(
            status=r.status_code,
            final_url=hops.final_url,
            permanent_url=hops.permanent_url,
            body=body,
            sha256=hashlib.sha256(body).hexdigest() if body is not None else None,
            etag=validator(r.headers.get("etag")) if fresh else None,
            last_modified=validator(r.headers.get("last-modified")) if fresh else None,
            bytes=len(body or b""),
            seconds=time.monotonic() - began,
            content_type=r.headers.get("content-type"),
            retry_after_s=retry_after(r.headers.get("retry-after"), r.headers.get("date")),
            max_age_s=fresh_for(r.headers),
            conditional=bool(asked),
            wire_bytes=wire,
        )


def fresh_for(headers: Mapping[str, str]) -> float | None:
    """Seconds for which an answer is fresh: max-age, else Expires relative to the server's own Date (RFC 9111)."""
    found = max_age(headers.get("cache-control"))
    return retry_after(headers.get("expires"), headers.get("date")) if found is None else found


def max_age(value: str | None) -> float | None:
    """max-age of a Cache-Control header."""
    for part in (value or "").split(","):
        name, _, number = part.strip().partition("=")
        if name.lower() == "max-age" and number.strip('"').isdecimal():
            return float(number.strip('"')[:9])
    return None
