"""Dates and durations as feeds write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

MAX_EPISODES = 20_000
"""Of one feed; the longest-running daily shows have some 6,000."""

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11,
    "dec": 12,
}  # fmt: skip
_ZONES = {
    "ut": 0, "utc": 0, "gmt": 0, "z": 0, "wet": 0, "bst": 60, "cet": 60, "west": 60, "cest": 120, "eet": 120,
    "eest": 180, "msk": 180, "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360,
    "pst": -480, "pdt": -420, "jst": 540, "aest": 600, "aedt": 660,
}  # fmt: skip
_RFC = re.compile(
    r"(?:[^\W\d]+\.?,?\s+)?(\d{1,2})[\s-]+([a-z]{3})[a-z]*\.?[\s-]+(\d{4}|\d{2})\s+"
    r"0?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*([+-]\d{2}:?\d{2}|[a-z]+)?(?:\s*\(.*\))?",
    re.IGNORECASE,
)
_DURATION = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,9}(?:\.\d{1,9})?)")


def parse_date(raw: str | None) -> datetime | None:
    """RFC 822 or ISO 8601 in UTC; None for what is neither. A weekday that is wrong or missing does not matter."""
    text = (raw or "").strip()[:100]
    if not text:
        return None
    m = _RFC.fullmatch(text)
    try:
        return _rfc(m) if m else _iso(text)
    except (ValueError, OverflowError):
        return None


def _rfc(m: re.Match[str]) -> datetime | None:
    day, month, year, hour, minute, second, zone = m.groups()
    number = _MONTHS.get(month.lower())
    if number is None:
        return None
    y = int(year)
    if len(year) == 2:
        y += 2000 if y < 50 else 1900  # RFC 2822, 4.3
    offset = 0
    if zone and zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 14 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)
    elif zone:
        known = _ZONES.get(zone.lower())
        if known is None:
            return None
        offset = known
    zone_info = timezone(timedelta(minutes=offset))
    # A leap second is the second after.
    at = datetime(y, number, int(day), int(hour), int(minute), min(int(second or 0), 59), tzinfo=zone_info)
    return at.astimezone(UTC)


def _iso(text: str) -> datetime | None:
    if not re.match(r"\d{4}-\d{2}-\d{2}", text):
        return None
    at = datetime.fromisoformat(text)
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).astimezone(UTC)


def parse_duration(raw: str | None) -> float | None:
    """Seconds from `s`, `s.s`, `m:ss`, `h:mm:ss`; None for anything else."""
    m = _DURATION.fullmatch((raw or "").strip())
    if not m:
        return None
    return int(m[1] or 0) * 3600 + int(m[2] or 0) * 60 + float(m[3])
