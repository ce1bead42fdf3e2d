"""SubRip to segments, as tools really write it: comma or dot, missing numbers, tags, blank lines inside a caption."""

from __future__ import annotations

import html
import re

from pipeline.errors import ParseError
from pipeline.transcript.base import Segment

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|\{\\[^{}]{0,200}\}")


def read_srt(text: str) -> tuple[Segment, ...]:
    """Segments of an SRT document. Raises ParseError when it holds no timing line."""
    found: list[Segment] = []
    times: tuple[float, float] | None = None
    lines: list[str] = []
    for line in [*text.removeprefix("\ufeff").split("\n"), ""]:
        match = _TIMING.fullmatch(line)
        if match:
            if times is not None:
                # The line before a timing line is the next caption's number, not speech.
                found += _caption(times, _without_number(lines))
            times = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
            lines = []
        elif times is not None:
            lines.append(line.strip())
    if times is None:
        raise ParseError("The transcript is not SRT", why="no line holds two times with --> between them")
    return (*found, *_caption(times, lines))


def _without_number(lines: list[str]) -> list[str]:
    kept = list(lines)
    while kept and not kept[-1]:
        kept.pop()
    if kept and kept[-1].isdigit() and (len(kept) == 1 or not kept[-2]):
        kept.pop()
    return kept


def _caption(times: tuple[float, float], lines: list[str]) -> list[Segment]:
    text = " ".join(html.unescape(_TAG.sub("", " ".join(lines))).split())
    return [Segment(*times, text)] if text else []


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return round(int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}"), 3)
