"""Polling feeds: fetch many at a time, decide, write. One feed's trouble stays its own."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline import transport
from pipeline.clock import Clock
from pipeline.episode.identity import match
from pipeline.episode.select import select
from pipeline.errors import FetchError, PodsiftError
from pipeline.feed.decide import decide
from pipeline.feed.fetch import FetchedFeed, fetch
from pipeline.feed.parse import parse
from pipeline.records import FeedForUpdate, ParsedFeed
from pipeline.settings import Settings
from pipeline.store import episodes, feeds
from pipeline.store.database import Database

AT_A_TIME = 16
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll did."""

    feed_id: int
    title: str | None
    new: int
    changed: int
    why: str
    error: str | None


def poll_due(db: Database, settings: Settings, clock: Clock) -> list[Polled]:
    """Poll every feed whose time has come."""
    with db.begin() as conn:
        due = feeds.due(conn, clock.now())
    return _poll(db, settings, clock, due)


def poll(db: Database, settings: Settings, clock: Clock, ids: Sequence[int]) -> list[Polled]:
    """Poll these feeds now."""
    with db.begin() as conn:
        wanted = [feeds.for_update(conn, i, clock.now()) for i in ids]
    return _poll(db, settings, clock, wanted)


def _poll(db: Database, settings: Settings, clock: Clock, due: Sequence[FeedForUpdate]) -> list[Polled]:
    outcomes = asyncio.run(_fetch_all(settings, due)) if due else []
    return [_settle(db, settings, clock, f, outcome) for f, outcome in zip(due, outcomes, strict=True)]


async def _fetch_all(settings: Settings, due: Sequence[FeedForUpdate]) -> list[FetchedFeed | PodsiftError]:
    gate = asyncio.Semaphore(AT_A_TIME)
    async with transport.async_client(settings.feed) as client:

        async def one(f: FeedForUpdate) -> FetchedFeed | PodsiftError:
            async with gate:
                try:
                    return await fetch(client, f, settings.feed)
                except PodsiftError as e:
                    return e
                except Exception as e:  # whatever a hostile server provokes below us stays with its feed
                    log.exception("feed %s broke the fetch", f.id)
                    return FetchError("The feed could not be fetched", why=f"{type(e).__name__}: {e}")

        return await asyncio.gather(*(one(f) for f in due))


def _settle(
    db: Database, settings: Settings, clock: Clock, f: FeedForUpdate, outcome: FetchedFeed | PodsiftError
) -> Polled:
    parsed: ParsedFeed | None = None
    if isinstance(outcome, FetchedFeed) and outcome.body is not None and outcome.sha256 != f.body_sha256:
        try:
            parsed = parse(outcome.body, outcome.final_url, outcome.content_type)
        except PodsiftError as e:
            outcome = e
    now = clock.now()
    intent = decide(f, outcome, parsed, now, random.Random())  # noqa: S311 - jitter
    with db.begin() as conn:
        new, changed = _write_episodes(conn, f.id, parsed, settings, now) if parsed else (0, 0)
        values: dict[str, Any] = dict(intent.values) | {"last_poll_at": now}
        if parsed:
            values |= {
                "title": parsed.title,
                "language": parsed.language,
                "link": parsed.link,
                "image_url": parsed.image_url,
                "podcast_guid": parsed.podcast_guid,
                "ttl_minutes": parsed.ttl_minutes,
            }
        if "url" in values and feeds.owned(conn, values["url"]):
            # Moving there would make two of one feed; the operator decides which to keep.
            values["error"] = f"moved to {transport.redact(values.pop('url'))}, which is followed already"
        feeds.change(conn, f.id, values)
        ok = isinstance(outcome, FetchedFeed)
        feeds.log(
            conn,
            f.id,
            now,
            status=outcome.status if isinstance(outcome, FetchedFeed) else None,
            bytes=outcome.bytes if isinstance(outcome, FetchedFeed) else None,
            seconds=outcome.seconds if isinstance(outcome, FetchedFeed) else None,
            new=new,
            changed=changed,
            why=intent.why,
        )
        title = feeds.find(conn, str(f.id))["title"]
    why = f"{new} new, {changed} changed" if parsed else intent.why
    return Polled(f.id, title, new, changed, why, None if ok and not intent.error else intent.error or intent.why)


def _write_episodes(
    conn: Connection, feed_id: int, parsed: ParsedFeed, settings: Settings, now: datetime
) -> tuple[int, int]:
    stored = episodes.keys_of_feed(conn, feed_id)
    intents = match(parsed.episodes, stored)
    fresh = [i for i in intents if i.action == "insert"]
    choices = select([i.episode for i in fresh], settings.feed, now, first=not stored)
    for intent, choice in zip(fresh, choices, strict=True):
        assert intent.key is not None
        episodes.add(conn, feed_id, intent.key, intent.episode, choice.stage, choice.reason, now)
    changed = [i for i in intents if i.action == "update"]
    for intent in changed:
        assert intent.id is not None
        episodes.edit(conn, intent.id, intent.episode, now)
    return len(fresh), len(changed)
