"""Which of a feed's new episodes are processed: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.records import ParsedEpisode
from pipeline.settings import FeedSettings

_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Choice:
    """The stage a new episode begins at, and why when it is not processed now."""

    stage: str
    reason: str | None = None


def select(new: Sequence[ParsedEpisode], settings: FeedSettings, now: datetime, *, first: bool) -> list[Choice]:
    """A choice for each new episode, in order. `first`: the feed was just added, so its past is bounded.

    An episode without a date counts as new, but for a feed's first poll, where it may be any age.
    """
    since = now - timedelta(days=settings.lookback_days)
    newest = sorted(range(len(new)), key=lambda k: new[k].published or _NEVER, reverse=True)
    rank = {k: r for r, k in enumerate(newest)}
    choices = []
    for k, e in enumerate(new):
        if e.published is not None and e.published > now:
            choices.append(Choice("future", f"published {e.published:%Y-%m-%d %H:%M} UTC, which has not come yet"))
        elif first and (e.published is None or e.published < since):
            choices.append(Choice("skipped", f"older than {settings.lookback_days} days when its feed was added"))
        elif first and rank[k] >= settings.max_new:
            choices.append(Choice("skipped", f"beyond the newest {settings.max_new} of a new feed"))
        else:
            choices.append(Choice("download"))
    return choices
