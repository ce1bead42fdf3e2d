"""A feed's episodes into the database: which are new, which changed, and what becomes of the new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pipeline.episode.budget import UNKNOWN_S
from pipeline.episode.identity import match
from pipeline.episode.select import Choice, FeedRules, Twin, linked, select, wants
from pipeline.episode.twins import KnownEpisode, find_twins
from pipeline.feed.filters import why_not
from pipeline.records import ParsedEpisode, ParsedFeed
from pipeline.settings import FeedSettings
from pipeline.store import episodes, feeds, twins

MOST_LOOKED_UP = 1000
"""New episodes of one poll whose twins are looked for: a statement has only so many parameters."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a new feed would bring: episodes and their seconds of audio now, of its past, and why others are not taken.

    `unknown` of them do not say how long they are, and count for an hour each.
    """

    title: str | None
    episodes: int
    now: int
    now_s: float
    past: int
    past_s: float
    unknown: int
    left: tuple[tuple[str, int], ...]


def take_in(
    conn: Connection, feed_id: int, parsed: ParsedFeed, settings: FeedSettings, now: datetime
) -> tuple[int, int]:
    """Store what is new and what changed. Returns how many of each."""
    stored = episodes.keys_of_feed(conn, feed_id)
    intents = match(parsed.episodes, stored)
    fresh = [i for i in intents if i.action == "insert"]
    if fresh:
        new = [i.episode for i in fresh]
        choices = select(
            new,
            settings,
            now,
            first=not stored,
            rules=feeds.rules(conn, feed_id),
            newest_known=max((s.published for s in stored if s.published), default=None),
        )
        choices = _linked(conn, feed_id, parsed, new, choices)
        rows = [
            episodes.NewEpisode(i.key or "", i.episode, c.stage, c.reason, c.backfill, c.same_as)
            for i, c in zip(fresh, choices, strict=True)
        ]
        episodes.add_all(conn, feed_id, rows, now)
    changed = [i for i in intents if i.action == "update"]
    for intent in changed:
        assert intent.id is not None
        episodes.edit(conn, intent.id, intent.episode, now)
    return len(fresh), len(changed)


def preview(conn: Connection, parsed: ParsedFeed, rules: FeedRules, settings: FeedSettings, now: datetime) -> Preview:
    """What following this feed would process. Changes nothing."""
    new = [i.episode for i in match(parsed.episodes, [])]
    choices = select(new, settings, now, first=True, rules=rules)
    return summed(parsed.title, new, _linked(conn, 0, parsed, new, choices))


def summed(title: str | None, new: Sequence[ParsedEpisode], choices: Sequence[Choice]) -> Preview:
    """Episodes and hours of these choices."""
    pairs = list(zip(new, choices, strict=True))
    taken = [(e, c) for e, c in pairs if c.stage == "download"]
    fresh = [e.duration_s or UNKNOWN_S for e, c in taken if not c.backfill]
    past = [e.duration_s or UNKNOWN_S for e, c in taken if c.backfill]
    left = Counter(_kind(c.reason or "") for _, c in pairs if c.stage != "download")
    unknown = sum(not e.duration_s for e, _ in taken)
    return Preview(title, len(pairs), len(fresh), sum(fresh), len(past), sum(past), unknown, tuple(left.most_common(6)))


def _kind(reason: str) -> str:
    """Reasons that differ in a number or a date are one kind."""
    for start, kind in (
        ("repeats episode", "repeats an episode that is processed"),
        ("published ", "published with a date that has not come yet"),
    ):
        if reason.startswith(start):
            return kind
    return "shorter or longer than asked for" if " minutes, " in reason else reason


def past_wanted(conn: Connection, feed_id: int, rules: FeedRules) -> list[tuple[int, float]]:
    """Ids and seconds of the stored episodes that a feed's backfill policy takes in now, newest first."""
    rows = episodes.of_feed(conn, feed_id)
    passing = [r for r in rows if why_not(_as_parsed(r), rules.filters) is None]
    return [
        (r["id"], r["duration_s"] or UNKNOWN_S)
        for rank, r in enumerate(passing)
        if r["stage"] == "skipped" and r["same_as"] is None and wants(rules.backfill, rank, r["published"])
    ]


def _as_parsed(row: dict[str, object]) -> ParsedEpisode:
    names = ("guid", "title", "published", "duration_s", "enclosure_url", "enclosure_type", "enclosure_length")
    return ParsedEpisode(**{n: row[n] for n in names}, explicit=row["explicit"])  # type: ignore[arg-type]


def _linked(
    conn: Connection, feed_id: int, parsed: ParsedFeed, new: Sequence[ParsedEpisode], choices: list[Choice]
) -> list[Choice]:
    # Only what would be processed: an archive of thousands is skipped without a look at others.
    places = [k for k, c in enumerate(choices) if c.stage != "skipped"][:MOST_LOOKED_UP]
    wanted = [new[k] for k in places]
    if not wanted:
        return choices
    same = twins.same_show(conn, feed_id, parsed.title, parsed.podcast_guid)
    known = twins.known_near(conn, feed_id, wanted, same)
    if not known:
        return choices
    found = dict(zip(places, find_twins(wanted, feed_id, known, same), strict=True))
    return linked(choices, [_said(found.get(k), feed_id) for k in range(len(choices))])


def _said(k: KnownEpisode | None, feed_id: int) -> Twin | None:
    if k is None:
        return None
    where = "of this feed" if k.feed_id == feed_id else f"of feed {k.feed_id}"
    return Twin(k.id, f"repeats episode {k.id} {where}, which is processed or on its way")
