"""What polls found, into the database: many feeds in one transaction, and one that cannot be stored spoils no other."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pipeline.episode.identity import LONGEST_KEY
from pipeline.episode.intake import take_in
from pipeline.episode.twins import title_key
from pipeline.errors import DatabaseAwayError, ParseError, PodsiftError
from pipeline.feed.decide import FeedUpdateIntent, decide
from pipeline.feed.fetch import FetchedFeed
from pipeline.records import FeedForUpdate, ParsedFeed
from pipeline.settings import Settings
from pipeline.store import feeds, polls
from pipeline.store.database import Database
from pipeline.urls import redact

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SeenFeed:
    """A feed and what its server answered, without the body; `held` when it was not asked."""

    feed: FeedForUpdate
    outcome: FetchedFeed | PodsiftError | None = None
    parsed: ParsedFeed | ParseError | None = None
    checked: bool = False
    held: datetime | None = None

    @property
    def weight(self) -> int:
        """Episodes that wait in memory."""
        return len(self.parsed.episodes) if isinstance(self.parsed, ParsedFeed) else 0


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll did."""

    feed_id: int
    title: str | None
    new: int
    changed: int
    why: str
    error: str | None
    status: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    feed_id: int
    values: dict[str, Any]
    row: dict[str, Any]
    polled: Polled


def keep(db: Database, settings: Settings, seen: Sequence[SeenFeed], now: datetime) -> list[Polled]:
    """Store what was seen, in one transaction; each alone when that fails. Raises DatabaseAwayError."""
    rng = random.Random()  # noqa: S311 - jitter
    try:
        with db.begin() as conn:
            return _keep(conn, settings, seen, now, rng)
    except DatabaseAwayError:
        raise
    except Exception as e:
        if len(seen) > 1:
            return [p for s in seen for p in keep(db, settings, [s], now)]
        log.exception("what feed %s says could not be stored", seen[0].feed.id)
        broken = PodsiftError("What the feed says could not be stored", why=f"{type(e).__name__}: {str(e)[:300]}")
        with db.begin() as conn:
            return _keep(conn, settings, [SeenFeed(seen[0].feed, broken)], now, rng)


def _keep(
    conn: Connection, settings: Settings, seen: Sequence[SeenFeed], now: datetime, rng: random.Random
) -> list[Polled]:
    written = [_one(conn, settings, s, now, rng) for s in seen]
    polls.change(conn, [(w.feed_id, w.values) for w in written])
    polls.add(conn, [w.row for w in written])
    return [w.polled for w in written]


def _one(conn: Connection, settings: Settings, s: SeenFeed, now: datetime, rng: random.Random) -> _Written:
    intent = _intent(s, now, rng)
    values = dict(intent.values)
    parsed = s.parsed if isinstance(s.parsed, ParsedFeed) else None
    new, changed = take_in(conn, s.feed.id, parsed, settings.feed, now) if parsed else (0, 0)
    if parsed:
        values |= _facts(parsed)
    if s.outcome is not None:
        values["last_poll_at"] = now
    if "url" in values:
        _move(conn, s.feed.id, values)
    got = s.outcome if isinstance(s.outcome, FetchedFeed) else None
    why = f"{new} new, {changed} changed" if parsed else intent.why
    row: dict[str, Any] = {
        "feed_id": s.feed.id,
        "at": now,
        "status": got.status if got else None,
        "bytes": got.bytes if got else None,
        "seconds": got.seconds if got else None,
        "new": new,
        "changed": changed,
        "why": intent.why,
    }
    title = parsed.title if parsed else s.feed.title
    polled = Polled(s.feed.id, title, new, changed, why, intent.error, row["status"], row["bytes"])
    return _Written(s.feed.id, values, row, polled)


def _intent(s: SeenFeed, now: datetime, rng: random.Random) -> FeedUpdateIntent:
    if s.outcome is not None:
        return decide(s.feed, s.outcome, s.parsed, now, rng, checked=s.checked)
    assert s.held is not None
    why = f"its host asked to be left alone until {s.held:%Y-%m-%d %H:%M} UTC"
    values = {"next_poll_at": s.held + timedelta(seconds=rng.uniform(0, 300))}
    # One that has never been read is nothing yet, so whoever adds it has to hear of it.
    return FeedUpdateIntent(values, why, None if s.feed.last_ok_at else why)


def _facts(parsed: ParsedFeed) -> dict[str, Any]:
    return {
        "title": parsed.title,
        "title_key": title_key(parsed.title),
        "language": parsed.language[:40] if parsed.language else None,
        "link": parsed.link,
        "image_url": parsed.image_url,
        "podcast_guid": parsed.podcast_guid[:100] if parsed.podcast_guid else None,
        "ttl_minutes": min(parsed.ttl_minutes, 2**31 - 1) if parsed.ttl_minutes is not None else None,
        "new_feed_url": parsed.new_feed_url,
        "persons": [asdict(p) for p in parsed.persons] or None,
    }


def _move(conn: Connection, feed_id: int, values: dict[str, Any]) -> None:
    """Take the new address, unless it would make two of one feed: the operator decides which of them to keep."""
    to = values.pop("url")
    if len(to.encode("utf-8", "replace")) > LONGEST_KEY:
        values["error"] = f"moved to an address of {len(to)} characters, which is too long to follow"
    elif feeds.owned(conn, to):
        values["error"] = f"moved to {redact(to)}, which is followed already"
    else:
        # At once: another feed of the same batch may be about to move there too.
        feeds.change(conn, feed_id, {"url": to})
