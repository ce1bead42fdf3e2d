"""When a digest is due: pure arithmetic over local hours, time zones and daylight saving."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def at_local(day: date, hour: int, minute: int, zone: str) -> datetime:
    """The instant of a local wall-clock time, in UTC.

    A time that daylight saving skips (02:30 in spring) means the same distance after the gap's start; a time that
    happens twice means the first of the two. So each local day has exactly one.
    """
    local = datetime.combine(day, time(hour, minute), ZoneInfo(zone)).replace(fold=0)
    return local.astimezone(UTC)


def local_date(now: datetime, zone: str) -> date:
    """The calendar day that people in `zone` have at `now`."""
    return now.astimezone(ZoneInfo(zone)).date()


EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


def on_days(day: date, days: Collection[int]) -> date:
    """The first day from `day` on whose ISO weekday is one of `days`. None of them counts as all."""
    while days and day.isoweekday() not in days:
        day += timedelta(days=1)
    return day


def next_digest(
    now: datetime, hour: int, minute: int, zone: str, last_date: str | None, days: Collection[int] = EVERY_DAY
) -> datetime:
    """The first time after the digest of `last_date` (ISO) at which the next one is due; may lie in the past.

    A new subscriber (`last_date` None) gets today's when the hour is still to come, else tomorrow's. `days` are the
    ISO weekdays (1 is Monday) that have a digest.
    """
    today = local_date(now, zone)
    if last_date is not None:
        # After a long stop the missed days are not made up for one by one: today's digest covers them.
        day = max(date.fromisoformat(last_date) + timedelta(days=1), today)
        return at_local(on_days(day, days), hour, minute, zone)
    if at_local(today, hour, minute, zone) <= now:
        today += timedelta(days=1)
    return at_local(on_days(today, days), hour, minute, zone)
