"""Which of a feed's episodes are wanted: include and exclude rules over title, duration and the explicit mark. Pure.

A rule is a part of the title in any case (`rerun`), or a regular expression between slashes (`/^bonus\\b/`).
Expressions run in RE2, whose time grows with the title's length alone: a backtracking engine takes hours for `(a+)+$`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import re2

from pipeline.errors import UsageError
from pipeline.records import ParsedEpisode

MAX_RULES = 50
MAX_RULE = 200
MAX_TITLE = 500
"""Characters of a title that rules look at."""
_MAX_MEMORY = 1 << 20


@dataclass(frozen=True, slots=True)
class Filters:
    """A feed's wishes. Durations are minutes; `explicit` is `skip`, `only` or None for both."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_minutes: float | None = None
    max_minutes: float | None = None
    explicit: str | None = None

    def __bool__(self) -> bool:
        return self != Filters()


def check(filters: Filters) -> Filters:
    """The same. Raises UsageError for what cannot be used, with the reason."""
    rules = (*filters.include, *filters.exclude)
    if len(rules) > MAX_RULES:
        raise UsageError(f"A feed takes at most {MAX_RULES} rules")
    for rule in rules:
        if not rule.strip() or len(rule) > MAX_RULE:
            raise UsageError(f"A rule has 1 to {MAX_RULE} characters")
        _compiled(rule)
    low, high = filters.min_minutes, filters.max_minutes
    if any(v is not None and not 0 < v < 100_000 for v in (low, high)):
        raise UsageError("Minutes are a number above 0")
    if low is not None and high is not None and low > high:
        raise UsageError(f"No episode is longer than {low:g} and shorter than {high:g} minutes")
    if filters.explicit not in (None, "skip", "only"):
        raise UsageError("explicit is skip or only")
    return filters


def why_not(e: ParsedEpisode, filters: Filters) -> str | None:
    """Why an episode is not wanted, None when it is. What the feed does not say is never held against it."""
    title = (e.title or "")[:MAX_TITLE]
    for rule in filters.exclude:
        if _holds(rule, title):
            return f"its title matches the exclude rule {rule!r}"
    if filters.include and not any(_holds(rule, title) for rule in filters.include):
        return "its title matches no include rule"
    minutes = None if e.duration_s is None else e.duration_s / 60
    if minutes is not None and filters.min_minutes is not None and minutes < filters.min_minutes:
        return f"{minutes:.0f} minutes, shorter than {filters.min_minutes:g}"
    if minutes is not None and filters.max_minutes is not None and minutes > filters.max_minutes:
        return f"{minutes:.0f} minutes, longer than {filters.max_minutes:g}"
    if filters.explicit == "skip" and e.explicit:
        return "marked explicit"
    if filters.explicit == "only" and e.explicit is False:
        return "not marked explicit"
    return None


def _holds(rule: str, title: str) -> bool:
    pattern = _compiled(rule)
    return rule.casefold() in title.casefold() if pattern is None else pattern.search(_sound(title)) is not None


def _sound(text: str) -> str:
    # RE2 works on UTF-8, which has no lone surrogates.
    return text.encode("utf-8", "replace").decode()


@lru_cache(256)
def _compiled(rule: str) -> Any:
    """None for plain text. Raises UsageError."""
    if not (len(rule) > 2 and rule.startswith("/") and rule.endswith("/")):
        return None
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(_sound(rule[1:-1]), options)
    except re2.error as e:
        why = e.args[0] if e.args else ""
        raise UsageError(
            f"{rule} is not a regular expression that can be used",
            why=why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why),
            hint="RE2's syntax: no lookaround, no back references",
        ) from e


def to_json(filters: Filters) -> dict[str, Any] | None:
    """For the feed's row; None when there are no wishes."""
    return {k: v for k, v in asdict(filters).items() if v not in ((), None)} or None


def from_json(row: Any) -> Filters:
    """From the feed's row."""
    if not isinstance(row, dict):
        return Filters()
    include, exclude = (tuple(map(str, row.get(k) or ())) for k in ("include", "exclude"))
    return Filters(include, exclude, row.get("min_minutes"), row.get("max_minutes"), row.get("explicit"))


def described(filters: Filters) -> str:
    """The wishes in a sentence, empty when there are none."""
    parts = [f"include {_quoted(filters.include)}"] if filters.include else []
    parts += [f"exclude {_quoted(filters.exclude)}"] if filters.exclude else []
    parts += [f"at least {filters.min_minutes:g} min"] if filters.min_minutes is not None else []
    parts += [f"at most {filters.max_minutes:g} min"] if filters.max_minutes is not None else []
    parts += [f"explicit: {filters.explicit}"] if filters.explicit else []
    return ", ".join(parts)


def _quoted(rules: Sequence[str]) -> str:
    return " or ".join(repr(r) for r in rules)
