"""Texts as pages show them: times, dates, languages, highlights."""

from __future__ import annotations

import re
import unicodedata
import zlib
from datetime import date, datetime
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from pipeline.email.render import clock_time, quoted, web_link
from pipeline.store.query import Query, cut, spans

HUES = 8
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_TAG = re.compile(r"<[^<>]*>")
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def long_day(day: date | str) -> str:
    """`Monday, 23 November 2026`."""
    d = date.fromisoformat(day) if isinstance(day, str) else day
    return f"{d:%A}, {d.day} {d:%B %Y}"


def short_day(at: datetime | date | None) -> str:
    """`23 Nov 2026`; empty when unknown."""
    return f"{at.day} {at:%b %Y}" if at else ""


def minute(at: datetime | None) -> str:
    """`2026-11-23 08:15` in UTC; a dash when there is none."""
    return at.strftime("%Y-%m-%d %H:%M") if at else "–"


def spoken_time(seconds: float) -> str:
    """For screen readers: `1 minute 20 seconds`."""
    minutes, secs = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{n} {unit}{'s' if n != 1 else ''}" for n, unit in ((hours, "hour"), (minutes, "minute")) if n]
    return " ".join([*parts, f"{secs} second{'s' if secs != 1 else ''}"])


def duration(seconds: float | None) -> str:
    """`42 min`, `1 h 5 min`; empty when unknown."""
    if not seconds:
        return ""
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def language(value: str | None) -> str:
    """A language tag for `lang`, empty when a feed's is not one."""
    return value if value and _LANGUAGE.fullmatch(value) else ""


def marked(text: str, query: Query | None) -> Markup:
    """A text with the query's words marked."""
    text = unicodedata.normalize("NFC", text)
    if query is None:
        return escape(text)
    pieces = (Markup("<mark>{}</mark>").format(p) if hit else escape(p) for p, hit in cut(text, spans(text, query)))
    return Markup("").join(pieces)


def plain_text(html: str | None, limit: int = 600) -> str:
    """A publisher's description without its tags, cut at a word."""
    text = " ".join(unescape(_TAG.sub(" ", html or "")).split())
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0] + " …"


def hue(name: str) -> int:
    """A show's colour, 0..7; decoration only."""
    return zlib.crc32(name.encode("utf-8", "replace")) % HUES


def initial(name: str) -> str:
    """A show's letter, without The and A."""
    bare = re.sub(r"^(?:the|a|an)\s+", "", name, flags=re.IGNORECASE)
    return next((c.upper() for c in bare if c.isalnum()), "•")


def segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def moment(url: str, seconds: float) -> str:
    """The address of a second of an audio file (W3C media fragment)."""
    return f"{url.partition('#')[0]}#t={max(0.0, seconds):.1f}"


def xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("", text)


def combined(params: dict[str, object], changes: dict[str, object]) -> str:
    """A query string of what is set, with changes."""
    return urlencode({k: v for k, v in (params | changes).items() if v != ""})


FILTERS: dict[str, Any] = {
    "clock_time": clock_time,
    "quoted": quoted,
    "combined": combined,
    "spoken_time": spoken_time,
    "long_day": long_day,
    "short_day": short_day,
    "minute": minute,
    "duration": duration,
    "language": language,
    "marked": marked,
    "plain_text": plain_text,
    "hue": hue,
    "initial": initial,
    "segment": segment,
    "moment": moment,
    "web_link": web_link,
}
