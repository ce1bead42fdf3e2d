"""Fetching a feed document: conditional, bounded in decoded size and in total time."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from pipeline import transport
from pipeline.errors import FetchError, RefusedError
from pipeline.records import FeedForUpdate
from pipeline.settings import FeedSettings

MAX_RETRY_AFTER_S = 31 * 86400
FULL_EVERY = timedelta(days=7)


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
    conditional: bool = False


def conditions(feed: FeedForUpdate, now: datetime) -> dict[str, str]:
    """If-None-Match and If-Modified-Since, verbatim; none once a week, as some servers answer 304 for ever."""
    if feed.last_full_at is None or now - feed.last_full_at > FULL_EVERY:
        return {}
    found = {"If-None-Match": feed.etag, "If-Modified-Since": feed.last_modified}
    return {k: v for k, v in found.items() if v}


async def fetch(client: httpx.AsyncClient, feed: FeedForUpdate, settings: FeedSettings) -> FetchedFeed:
    """GET the feed. Raises FetchError and RefusedError; any status is an answer."""
    try:
        async with asyncio.timeout(settings.timeout_s):
            return await _fetch(client, feed, settings)
    except TimeoutError as e:
        raise FetchError(f"{transport.redact(feed.url)} took longer than {settings.timeout_s:.0f} s") from e


async def _fetch(client: httpx.AsyncClient, feed: FeedForUpdate, settings: FeedSettings) -> FetchedFeed:
    began = time.monotonic()
    asked = conditions(feed, datetime.now(UTC))
    async with transport.astream(client, feed.url, asked) as (r, hops):
        body: bytes | None = None
        if r.status_code == 200:
            parts: list[bytes] = []
            size = 0
            async for chunk in r.aiter_bytes():
                size += len(chunk)
                if size > settings.max_bytes:
                    raise RefusedError(
                        f"{transport.redact(feed.url)} is larger than {settings.max_bytes} bytes decoded"
                    )
                parts.append(chunk)
            body = b"".join(parts)
        fresh = r.headers.get("expires") != "0"
        return FetchedFeed(
            status=r.status_code,
            final_url=hops.final_url,
            permanent_url=hops.permanent_url,
            body=body,
            sha256=hashlib.sha256(body).hexdigest() if body is not None else None,
            etag=r.headers.get("etag") if fresh else None,
            last_modified=r.headers.get("last-modified") if fresh else None,
            bytes=len(body or b""),
            seconds=time.monotonic() - began,
            content_type=r.headers.get("content-type"),
            retry_after_s=retry_after(r.headers.get("retry-after"), r.headers.get("date")),
            max_age_s=max_age(r.headers.get("cache-control")),
            conditional=bool(asked),
        )


def retry_after(value: str | None, date: str | None) -> float | None:
    """Retry-After in seconds, given as seconds or as a date relative to the server's own Date; at most 31 days."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(min(int(value.strip()[:10]), MAX_RETRY_AFTER_S))
    try:
        at = parsedate_to_datetime(value)
        base = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return min(max((at - base).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError):
        return None


def max_age(value: str | None) -> float | None:
    """max-age of a Cache-Control header."""
    for part in (value or "").split(","):
        name, _, number = part.strip().partition("=")
        if name.lower() == "max-age" and number.strip('"').isdecimal():
            return float(number.strip('"')[:9])
    return None
