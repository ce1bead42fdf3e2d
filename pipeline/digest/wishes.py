"""What a subscriber wants of a digest: checked as it comes in, and applied to the candidates. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from pipeline.errors import UsageError
from pipeline.records import Subscriber
from pipeline.schedule import EVERY_DAY
from pipeline.store.insights import Candidate

LIFT = 1.15
"""A wanted topic or show multiplies a score by this, once; it reorders what is good and lifts nothing above it."""
MAX_TOPICS, MAX_TOPIC_LENGTH, MAX_SHOWS = 50, 60, 500


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Preferences as `store.subscribers.change` takes them. Raises UsageError naming the one that is wrong.

    `hour`, `minute` and `count` (3..10) are integers or digits, `time_zone` an IANA name, `days` ISO weekdays (at least
    one), `*_topics` lists of words, `*_shows` lists of feed ids. A topic or show both wanted and muted is muted.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        found[name] = _CHECKS[name](name, value)
    for kind in ("topics", "shows"):
        muted = set(found.get(f"muted_{kind}", ()))
        if f"wanted_{kind}" in found:
            found[f"wanted_{kind}"] = tuple(w for w in found[f"wanted_{kind}"] if w not in muted)
    return found


def _number(low: int, high: int) -> Any:
    def check(name: str, value: Any) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = low - 1
        if not low <= number <= high:
            raise UsageError(f"{name} must be a number from {low} to {high}")
        return number

    return check


def _zone(_name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in available_timezones():
        raise UsageError(f"{str(value)[:60]!r} is not a time zone", hint="use a name such as Europe/Berlin")
    return value


def _several(name: str, value: Any, most: int) -> list[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise UsageError(f"{name} must be a list")
    items = list(value)
    if len(items) > most:
        raise UsageError(f"{name} has {len(items)} entries; {most} are allowed")
    return items


def _days(name: str, value: Any) -> tuple[int, ...]:
    days = sorted({_number(1, 7)(name, v) for v in _several(name, value, 20)})
    if not days:
        raise UsageError("A digest needs at least one day of the week", hint="pause it, or unsubscribe")
    return tuple(days)


def _topics(name: str, value: Any) -> tuple[str, ...]:
    words = (" ".join(str(v).split()).casefold() for v in _several(name, value, MAX_TOPICS))
    found = tuple(dict.fromkeys(w for w in words if w))
    if any(len(w) > MAX_TOPIC_LENGTH or not w.isprintable() for w in found):
        raise UsageError(f"{name}: a topic has at most {MAX_TOPIC_LENGTH} printable characters")
    return found


def _shows(name: str, value: Any) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_number(1, 2**31 - 1)(name, v) for v in _several(name, value, MAX_SHOWS)))


_CHECKS = {
    "time_zone": _zone, "hour": _number(0, 23), "minute": _number(0, 59), "count": _number(3, 10), "days": _days,
    "wanted_topics": _topics, "muted_topics": _topics, "wanted_shows": _shows, "muted_shows": _shows,
    "by_mail": lambda _name, value: bool(value),
}  # fmt: skip


def parse_days(text: str) -> tuple[int, ...]:
    """`mon,tue,fri`, `1-5`, `weekdays` or `all` as ISO weekdays. Raises UsageError."""
    names = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7}
    named = {"all": EVERY_DAY, "weekdays": (1, 2, 3, 4, 5), "weekend": (6, 7)}
    if text.strip().lower() in named:
        return named[text.strip().lower()]
    days: set[int] = set()
    for part in text.lower().split(","):
        ends = [names.get(p.strip()[:3], int(p) if p.strip().isdigit() else 0) for p in part.split("-")]
        if len(ends) > 2 or not all(1 <= e <= 7 for e in ends):
            raise UsageError(f"{part.strip()[:20]!r} is not a day of the week", hint="for example mon-fri or mon,thu")
        days |= set(range(ends[0], ends[-1] + 1))
    return _days("days", days)


def granted(candidates: Sequence[Candidate], who: Subscriber) -> list[Candidate]:
    """The candidates without what `who` muted, those of wanted topics and shows lifted. In no new order."""
    if not (who.muted_shows or who.muted_topics or who.wanted_shows or who.wanted_topics):
        return list(candidates)
    muted, wanted = _words(who.muted_topics), _words(who.wanted_topics)
    quiet, loud = set(who.muted_shows), set(who.wanted_shows)
    kept = []
    for c in candidates:
        i = c.insight
        if i.feed_id in quiet or _touches(c, who.muted_topics, muted):
            continue
        if i.feed_id in loud or _touches(c, who.wanted_topics, wanted):
            c = replace(c, insight=replace(i, score=i.score * LIFT if i.score >= 0 else i.score / LIFT))
        kept.append(c)
    return kept


def _touches(c: Candidate, topics: Sequence[str], words: re.Pattern[str] | None) -> bool:
    """By its topics, else by its words: insights that were selected without a model carry no topics."""
    if words is None:
        return False
    if any(t.casefold() in topics for t in c.insight.topics):
        return True
    return words.search(_folded(c.insight.title, c.insight.text)) is not None


@lru_cache(maxsize=5000)
def _folded(title: str, text: str) -> str:
    return f"{title}\n{text}".casefold()


@lru_cache(maxsize=5000)
def _words(topics: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, topics))})\b") if topics else None
