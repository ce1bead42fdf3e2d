"""What a poll's outcome means for its feed: pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.errors import ParseError, PodsiftError, RefusedError, TransientError
from pipeline.feed.fetch import FetchedFeed
from pipeline.records import FeedForUpdate, ParsedFeed

SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(hours=24)
PER_EPISODE = 24
"""A weekly show is polled every 7 hours: week / (weekly count x this)."""
MOVE_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class FeedUpdateIntent:
    """Columns to set, why in a sentence, and the error if there is one."""

    values: Mapping[str, Any]
    why: str
    error: str | None = None


def interval(feed: FeedForUpdate, ttl_minutes: int | None, max_age_s: float | None) -> timedelta:
    """How long to wait after a good poll: the feed's rhythm, at least what it asks for, 5 minutes to 24 hours."""
    count = feed.weekly_count or 0.25
    found = timedelta(days=7) / (count * PER_EPISODE)
    asked = max(timedelta(minutes=min(ttl_minutes or 0, 1440)), timedelta(seconds=min(max_age_s or 0, 86400)))
    return min(max(found, asked, SHORTEST), LONGEST)


def backoff(error_count: int, rng: random.Random) -> timedelta:
    """5 minutes doubled with every error in a row, with jitter, at most 24 hours."""
    wait: timedelta = SHORTEST * float(2 ** min(error_count, 12)) * rng.uniform(0.8, 1.2)
    return min(wait, LONGEST)


def decide(
    feed: FeedForUpdate,
    outcome: FetchedFeed | PodsiftError,
    parsed: ParsedFeed | None,
    now: datetime,
    rng: random.Random,
) -> FeedUpdateIntent:
    """From one poll to the feed's new columns."""
    if isinstance(outcome, PodsiftError):
        asked = outcome.retry_after_s if isinstance(outcome, TransientError) else None
        intent = _wrong(feed, str(outcome), now, rng, at_least_s=asked, slow=isinstance(outcome, RefusedError))
        if isinstance(outcome, ParseError):
            # What redirects there is no valid feed, so its seven days begin anew.
            return replace(intent, values={**intent.values, "moved_url": None, "moved_since": None})
        return intent
    if outcome.status in (404, 410) and feed.moved_url and outcome.final_url == feed.url:
        why = f"the old address answers {outcome.status}; the feed had moved before"
        moved = {"url": feed.moved_url, "moved_url": None, "moved_since": None, "next_poll_at": now}
        return FeedUpdateIntent(moved | {"etag": None, "last_modified": None, "last_full_at": None}, why)
    if outcome.status == 410 and outcome.final_url in (feed.url, outcome.permanent_url):
        # Behind a temporary redirect 410 speaks of that address, not of the feed.
        text = "The publisher says this feed is gone for good (410)"
        return FeedUpdateIntent({"state": "gone", "error": text, "next_poll_at": None}, text, text)
    if outcome.status == 304 and not outcome.conditional:
        return _wrong(feed, "the server answered 304 to an unconditional request", now, rng)
    if outcome.status == 304:
        values = _good(feed, outcome, now, feed.ttl_minutes)
        if outcome.last_modified:
            values["last_modified"] = outcome.last_modified
        return FeedUpdateIntent(values, "not modified (304)")
    if outcome.status != 200:
        why = f"the server answered {outcome.status}"
        return _wrong(feed, why, now, rng, at_least_s=outcome.retry_after_s, slow=outcome.status == 403)
    ttl = parsed.ttl_minutes if parsed else feed.ttl_minutes
    values = _good(feed, outcome, now, ttl) | {
        "etag": outcome.etag,
        "last_modified": outcome.last_modified,
        "body_sha256": outcome.sha256,
        "last_full_at": now,
    }
    values |= _move(feed, outcome, now)
    return FeedUpdateIntent(values, "read" if parsed else "the same bytes as before")


def _good(feed: FeedForUpdate, outcome: FetchedFeed, now: datetime, ttl: int | None) -> dict[str, Any]:
    return {
        "last_ok_at": now,
        "error": None,
        "error_count": 0,
        "next_poll_at": now + interval(feed, ttl, outcome.max_age_s),
    }


def _wrong(
    feed: FeedForUpdate,
    why: str,
    now: datetime,
    rng: random.Random,
    *,
    at_least_s: float | None = None,
    slow: bool = False,
) -> FeedUpdateIntent:
    wait = max(LONGEST * 0.5 if slow else backoff(feed.error_count, rng), timedelta(seconds=at_least_s or 0))
    values = {"error": why[:1000], "error_count": feed.error_count + 1, "next_poll_at": now + wait}
    return FeedUpdateIntent(values, why, why)


def _move(feed: FeedForUpdate, outcome: FetchedFeed, now: datetime) -> dict[str, Any]:
    """A permanent redirect moves the stored address after 7 days of a valid feed at the same target."""
    target = outcome.permanent_url
    if target is None or target == feed.url:
        return {"moved_url": None, "moved_since": None}
    if target != feed.moved_url or feed.moved_since is None:
        return {"moved_url": target, "moved_since": now}
    if now - feed.moved_since >= MOVE_AFTER:
        return {"url": target, "moved_url": None, "moved_since": None}
    return {}
