"""Which of a feed's new episodes are processed: pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pipeline.errors import UsageError
from pipeline.feed.filters import Filters, why_not
from pipeline.records import ParsedEpisode
from pipeline.settings import FeedSettings

_NEVER = datetime(1, 1, 1, tzinfo=UTC)
MOST_BACKFILL = 10_000


@dataclass(frozen=True, slots=True)
class Backfill:
    """How much of a feed's past is processed too: the newest `last`, or what was published `since`; neither: nothing.

    What is taken in this way stays behind fresh episodes and out of the digest.
    """

    last: int | None = None
    since: date | None = None

    def __str__(self) -> str:
        return f"last:{self.last}" if self.last is not None else f"since:{self.since}" if self.since else "none"


@dataclass(frozen=True, slots=True)
class FeedRules:
    """What a feed's reader asked for."""

    filters: Filters = Filters()  # noqa: RUF009 - frozen
    backfill: Backfill = Backfill()


@dataclass(frozen=True, slots=True)
class Choice:
    """The stage a new episode begins at, and why when it is not processed now."""

    stage: str
    reason: str | None = None
    backfill: bool = False
    same_as: int | None = None


@dataclass(frozen=True, slots=True)
class Twin:
    """A stored episode that this one repeats, and what to say of it."""

    id: int
    said: str


def parse_backfill(text: str | None) -> Backfill:
    """`none`, `last:20` or `since:2026-01-31`. Raises UsageError."""
    kind, _, value = (text or "none").strip().partition(":")
    if kind == "none" and not value:
        return Backfill()
    if kind == "last" and re.fullmatch(r"\d{1,5}", value) and int(value) <= MOST_BACKFILL:
        return Backfill(last=int(value))
    if kind == "since" and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return Backfill(since=date.fromisoformat(value))
        except ValueError:
            pass
    raise UsageError(f"{text!r} is no backfill policy", hint="none, last:20 or since:2026-01-31")


def select(
    new: Sequence[ParsedEpisode],
    settings: FeedSettings,
    now: datetime,
    *,
    first: bool,
    rules: FeedRules = FeedRules(),
    newest_known: datetime | None = None,
) -> list[Choice]:
    """A choice for each new episode, in order. `first`: the feed was just added, so its past is bounded.

    An episode without a date counts as new, but for a feed's first poll, where it may be any age. On later polls what
    is older than `newest_known` and than the look back is the feed's past too: some publishers open their archive one
    day.
    """
    since = now - timedelta(days=settings.lookback_days)
    unwanted = [why_not(e, rules.filters) for e in new]
    # Only what is wanted has a rank: `last:20` means twenty that pass the filters.
    order = sorted(range(len(new)), key=lambda k: new[k].published or _NEVER, reverse=True)
    rank = {k: r for r, k in enumerate(k for k in order if unwanted[k] is None)}
    choices = []
    for k, e in enumerate(new):
        refused = unwanted[k]
        if refused is not None:
            choices.append(Choice("skipped", refused))
        elif _coming(e, now):
            choices.append(Choice("future", f"published {e.published:%Y-%m-%d %H:%M} UTC, which has not come yet"))
        else:
            choices.append(_of_the_past(e, rank[k], since, settings, rules.backfill, first, newest_known))
    return choices


def linked(choices: Sequence[Choice], twins: Sequence[Twin | None]) -> list[Choice]:
    """The choices, in which an episode that repeats a stored one is not processed but linked to it."""
    return [
        c if t is None or c.stage == "skipped" else Choice("skipped", t.said, same_as=t.id)
        for c, t in zip(choices, twins, strict=True)
    ]


def _coming(e: ParsedEpisode, now: datetime) -> bool:
    return e.published is not None and e.published > now


def _of_the_past(
    e: ParsedEpisode,
    rank: int,
    since: datetime,
    settings: FeedSettings,
    backfill: Backfill,
    first: bool,
    newest_known: datetime | None,
) -> Choice:
    if first and (e.published is None or e.published < since):
        reason = f"older than {settings.lookback_days} days when its feed was added"
    elif first and rank >= settings.max_new:
        reason = f"beyond the newest {settings.max_new} of a new feed"
    elif not first and newest_known and e.published and e.published < min(since, newest_known):
        reason = f"from the feed's past: {e.published:%Y-%m-%d}, before what was known of it"
    else:
        return Choice("download")
    wanted = wants(backfill, rank if first else None, e.published)
    return Choice("download", backfill=True) if wanted else Choice("skipped", reason)


def wants(backfill: Backfill, rank: int | None, published: datetime | None) -> bool:
    """Whether a past episode is taken in. `rank` counts the feed's episodes from its newest, 0; None when unknown."""
    if backfill.last is not None:
        return rank is not None and rank < backfill.last
    return backfill.since is not None and published is not None and published.date() >= backfill.since
