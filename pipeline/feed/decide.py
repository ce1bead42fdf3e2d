"""What a poll's outcome means for its feed: pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pipeline import __version__
from pipeline.errors import ExhaustedError, ParseError, PodsiftError, RefusedError, TransientError
from pipeline.feed.fetch import FetchedFeed
from pipeline.records import FeedForUpdate, ParsedFeed
from pipeline.urls import check_url, redact

SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(hours=24)
PER_EPISODE = 24
"""A weekly show is polled every 7 hours: week / (weekly count x this)."""
MOVE_AFTER = timedelta(days=7)
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class FeedUpdateIntent:
    """Columns to set, why in a sentence, and the error if there is one."""

    values: Mapping[str, Any]
    why: str
    error: str | None = None


def interval(feed: FeedForUpdate, ttl_minutes: int | None, max_age_s: float | None, rng: random.Random) -> timedelta:
    """How long to wait after a good poll: the feed's rhythm, at least what it asks for, 5 minutes to 24 hours.

    A tenth of jitter, or feeds that were added together would fall due together for ever.
    """
    count = feed.weekly_count or 0.25
    found = timedelta(days=7) / (count * PER_EPISODE) * rng.uniform(1 - JITTER, 1 + JITTER)
    asked = max(timedelta(minutes=min(ttl_minutes or 0, 1440)), timedelta(seconds=min(max_age_s or 0, 86400)))
    return min(max(found, asked, SHORTEST), LONGEST)


def backoff(error_count: int, rng: random.Random) -> timedelta:
    """5 minutes doubled with every error in a row, with jitter, at most 24 hours."""
    wait: timedelta = SHORTEST * float(2 ** min(error_count, 12)) * rng.uniform(0.8, 1.2)
    return min(wait, LONGEST)


def host_hold(outcome: FetchedFeed | PodsiftError, now: datetime) -> datetime | None:
    """Until when the answering host's other feeds wait too: its Retry-After, a day at most.

    Of its own feed it may ask for a month; a redirect to somebody else's busy server must not silence that one so long.
    """
    if isinstance(outcome, PodsiftError) or outcome.status not in (429, 503) or not outcome.retry_after_s:
        return None
    return now + min(timedelta(seconds=outcome.retry_after_s), LONGEST)


def fingerprint(sha256: str | None) -> str:
    """What is remembered of a document that ended its parser; another version may have another parser."""
    return f"{__version__} {sha256}"


def proposal(feed: FeedForUpdate, outcome: FetchedFeed, parsed: ParsedFeed | None) -> str | None:
    """Where a good answer says that this feed lives now: by permanent redirects, else by `itunes:new-feed-url`.

    The address of a private feed stays: nobody else's word may send its credentials elsewhere.
    """
    if outcome.permanent_url and outcome.permanent_url != feed.url:
        return outcome.permanent_url
    said = parsed.new_feed_url if parsed else feed.new_feed_url
    if not said or feed.credentials or said in (feed.url, outcome.final_url) or redact(said) != said:
        return None
    try:
        return check_url(said)
    except RefusedError:
        return None


def to_check(
    feed: FeedForUpdate, outcome: FetchedFeed | PodsiftError, parsed: ParsedFeed | None, now: datetime
) -> str | None:
    """An address that has to prove that a feed is there before it counts.

    A redirect has proved it; an address that a document names is looked at when it is first named and before the move.
    """
    if isinstance(outcome, PodsiftError) or outcome.status not in (200, 304):
        return None
    said = proposal(feed, outcome, parsed)
    if said is None or said == outcome.permanent_url:
        return None
    if said != feed.moved_url or feed.moved_since is None:
        # Once a document: an address that is not there would else be asked for with every poll.
        return said if parsed else None
    return said if now - feed.moved_since >= MOVE_AFTER else None


def decide(
    feed: FeedForUpdate,
    outcome: FetchedFeed | PodsiftError,
    parsed: ParsedFeed | ParseError | None,
    now: datetime,
    rng: random.Random,
    *,
    checked: bool = False,
) -> FeedUpdateIntent:
    """From one poll to the feed's new columns. `checked`: there is a feed at the address `to_check` asked about."""
    if isinstance(outcome, PodsiftError):
        asked = outcome.retry_after_s if isinstance(outcome, TransientError) else None
        return _wrong(feed, str(outcome), now, rng, at_least_s=asked, slow=isinstance(outcome, RefusedError))
    if outcome.status in (404, 410) and feed.moved_url and outcome.final_url == redact(feed.url):
        why = f"the old address answers {outcome.status}; the feed had moved before"
        moved = {"url": feed.moved_url, "moved_url": None, "moved_since": None, "next_poll_at": now}
        return FeedUpdateIntent(moved | {"etag": None, "last_modified": None, "last_full_at": None}, why)
    if outcome.status == 410 and outcome.final_url in (redact(feed.url), outcome.permanent_url):
        # Behind a temporary redirect 410 speaks of that address, not of the feed.
        text = "The publisher says this feed is gone for good (410)"
        return FeedUpdateIntent({"state": "gone", "error": text, "next_poll_at": None}, text, text)
    if outcome.status == 304 and not outcome.conditional:
        return _wrong(feed, "the server answered 304 to an unconditional request", now, rng)
    if outcome.status == 304:
        values = _good(feed, outcome, now, feed.ttl_minutes, rng) | _move(feed, outcome, None, now, checked)
        if outcome.last_modified:
            values["last_modified"] = outcome.last_modified
        return FeedUpdateIntent(values, "not modified (304)")
    if outcome.status != 200:
        why = f"the server answered {outcome.status}"
        return _wrong(feed, why, now, rng, at_least_s=outcome.retry_after_s, slow=outcome.status == 403)
    if isinstance(parsed, ParseError):
        return _unread(feed, outcome, parsed, now, rng)
    values = _good(feed, outcome, now, parsed.ttl_minutes if parsed else feed.ttl_minutes, rng) | {
        "etag": outcome.etag,
        "last_modified": outcome.last_modified,
        "body_sha256": outcome.sha256,
        "bad_sha256": None,
        "last_full_at": now,
    }
    values |= _move(feed, outcome, parsed, now, checked)
    return FeedUpdateIntent(values, "read" if parsed else "the same bytes as before")


def _good(
    feed: FeedForUpdate, outcome: FetchedFeed, now: datetime, ttl: int | None, rng: random.Random
) -> dict[str, Any]:
    return {
        "last_ok_at": now,
        "error": None,
        "error_count": 0,
        "next_poll_at": now + interval(feed, ttl, outcome.max_age_s, rng),
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


def _unread(
    feed: FeedForUpdate, outcome: FetchedFeed, error: ParseError, now: datetime, rng: random.Random
) -> FeedUpdateIntent:
    exhausted = isinstance(error, ExhaustedError)
    intent = _wrong(feed, str(error), now, rng, slow=exhausted)
    # What redirects there is no valid feed, so its seven days begin anew.
    more: dict[str, Any] = {"moved_url": None, "moved_since": None}
    if exhausted:
        more["bad_sha256"] = fingerprint(outcome.sha256)
    return replace(intent, values={**intent.values, **more})


def _move(
    feed: FeedForUpdate, outcome: FetchedFeed, parsed: ParsedFeed | None, now: datetime, checked: bool
) -> dict[str, Any]:
    """The stored address moves after 7 days of a valid feed at the same target."""
    target = proposal(feed, outcome, parsed)
    waits = target is not None and target == feed.moved_url and to_check(feed, outcome, parsed, now) is None
    if target is None or (target != outcome.permanent_url and not checked and not waits):
        return {"moved_url": None, "moved_since": None}
    if target != feed.moved_url or feed.moved_since is None:
        return {"moved_url": target, "moved_since": now}
    if now - feed.moved_since >= MOVE_AFTER:
        return {"url": target, "moved_url": None, "moved_since": None}
    return {}
