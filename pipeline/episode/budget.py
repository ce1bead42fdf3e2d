"""The daily budget of audio hours: which waiting episodes may be taken up now. Pure.

The day is the last 24 hours, so that no hour of the clock lets everything through at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(hours=24)
UNKNOWN_S = 3600.0
"""What an episode counts for when its feed does not say how long it is."""
LOOK_AGAIN = timedelta(hours=1)
"""Nobody waits longer than this without being asked for again: the setting may have been raised."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An episode that was taken up: when, and its seconds of audio."""

    at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """An episode that was not taken up yet."""

    id: int
    seconds: float
    backfill: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may go on; else why not and when to ask again."""

    admitted: bool
    reason: str | None = None
    ask_at: datetime | None = None


def decide(
    episode_id: int, waiting: Sequence[Waiting], taken: Sequence[Taken], limit_hours: float, now: datetime
) -> Verdict:
    """For one of the `waiting`, which stand in the order of their turn: fresh before backfill, newest first.

    The hours that are left go to the first that fit. A fresh one that has to wait keeps back all backfill, as a stream
    of short old episodes would else starve it. An episode longer than the limit is taken up when nothing else was.
    """
    limit = limit_hours * 3600
    used = sum(t.seconds for t in taken if t.at > now - DAY)
    left, begun, fresh_waits = limit - used, used > 0, False
    for w in waiting:
        fits = w.seconds <= left or not begun
        if fits and not (w.backfill and fresh_waits):
            if w.id == episode_id:
                return Verdict(True)
            left, begun = left - w.seconds, True
            continue
        if w.id == episode_id:
            return _wait(w, used, taken, limit, now, behind=w.backfill and fresh_waits)
        fresh_waits = fresh_waits or (not w.backfill and w.seconds <= limit)
    # It is not among those that wait, so nothing is counted for it.
    return Verdict(True)


def _wait(w: Waiting, used: float, taken: Sequence[Taken], limit: float, now: datetime, *, behind: bool) -> Verdict:
    at = _free_at(min(w.seconds, limit), used, taken, limit, now)
    said = f"the daily budget of {limit / 3600:g} audio hours: {used / 3600:.1f} h were taken up in the last 24 hours"
    said += f", this one has {w.seconds / 3600:.1f} h"
    if behind:
        said += ", fresh episodes go before old ones"
    else:
        said += f"; its turn comes {at:%Y-%m-%d %H:%M} UTC at the earliest"
    return Verdict(False, said, max(min(at, now + LOOK_AGAIN), now + timedelta(minutes=1)))


def _free_at(need: float, used: float, taken: Sequence[Taken], limit: float, now: datetime) -> datetime:
    at = now
    for t in sorted((t for t in taken if t.at > now - DAY), key=lambda t: t.at):
        if used + need <= limit:
            break
        used -= t.seconds
        at = t.at + DAY
    return at
