"""What a subscriber wants of a digest: checked as it comes in, and applied to the candidates. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import available_timezones

from pipeline.errors import UsageError
from pipeline.records import Subscriber
from pipeline.schedule import EVERY_DAY
from pipeline.store.insights import Candidate

LIFT = 1.15
"""A wanted topic or show multiplies a score by this, once; it reorders what is good and lifts nothing above it."""
REMEMBERED = 5000
"""Topics of which a pass remembers what they mean."""
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


class Meant:
    """Which of a pass's candidates a topic means, and each one lifted: worked out once, however many people ask."""

    def __init__(self, candidates: Sequence[Candidate]):
        self._candidates = candidates
        self._texts = [f"{c.insight.title}\n{c.insight.text}".casefold() for c in candidates]
        self._by_topic: dict[str, frozenset[int]] = {}
        self._lifted: dict[int, Candidate] = {}

    def by(self, topics: Sequence[str]) -> set[int]:
        """Ids of insights that carry a topic, or have its words: those selected without a model carry none."""
        return {i for t in topics for i in self._of(t)}

    def lifted(self, c: Candidate) -> Candidate:
        """The candidate with the score of what is wanted."""
        found = self._lifted.get(c.insight.id)
        if found is None:
            i = c.insight
            found = replace(c, insight=replace(i, score=i.score * LIFT if i.score >= 0 else i.score / LIFT))
            self._lifted[i.id] = found
        return found

    def _of(self, topic: str) -> frozenset[int]:
        found = self._by_topic.get(topic)
        if found is None:
            words = re.compile(rf"\b{re.escape(topic)}\b")
            found = frozenset(
                c.insight.id
                for c, text in zip(self._candidates, self._texts, strict=True)
                if any(t.casefold() == topic for t in c.insight.topics) or words.search(text)
            )
            if len(self._by_topic) >= REMEMBERED:
                self._by_topic.clear()
            self._by_topic[topic] = found
        return found


def granted(candidates: Sequence[Candidate], who: Subscriber, meant: Meant | None = None) -> list[Candidate]:
    """The candidates without what `who` muted, those of wanted topics and shows lifted. In no new order.

    `meant` is of these same candidates.
    """
    if not (who.muted_shows or who.muted_topics or who.wanted_shows or who.wanted_topics):
        return list(candidates)
    meant = meant or Meant(candidates)
    muted, wanted = meant.by(who.muted_topics), meant.by(who.wanted_topics)
    quiet, loud = set(who.muted_shows), set(who.wanted_shows)
    return [
        meant.lifted(c) if c.insight.feed_id in loud or c.insight.id in wanted else c
        for c in candidates
        if c.insight.feed_id not in quiet and c.insight.id not in muted
    ]
