"""WebVTT (https://www.w3.org/TR/webvtt1/) to segments: voices kept, other tags, styles, regions and notes dropped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from pipeline.errors import ParseError
from pipeline.transcript.base import Segment

_TIME = r"(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_TAG = re.compile(r"<(/?)([^\s<>.]{0,40})([^<>]{0,200})>")
"""Bounded, so that a `<` without its end costs no more than any other character."""


def read_vtt(text: str) -> tuple[Segment, ...]:
    """Segments of a WebVTT document. Raises ParseError when it is none."""
    if not re.match(r"\ufeff?WEBVTT(?:[ \t\n]|$)", text):
        raise ParseError("The transcript is not WebVTT", why="it does not begin with WEBVTT")
    found: list[Segment] = []
    for block in re.split(r"\n[ \t]*\n+", text):
        lines = block.strip("\n").split("\n")
        for at, line in enumerate(lines[:2]):
            match = _TIMING.fullmatch(line)
            if match:
                start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
                found += _voices(" ".join(lines[at + 1 :]), start, end)
                break
    return tuple(found)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return round(int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}"), 3)


def _voices(payload: str, start: float, end: float) -> Iterator[Segment]:
    """A segment for each voice of a cue; a cue with several shares its time by characters."""
    spoken: list[tuple[str | None, str]] = []
    speaker: str | None = None
    text, at = "", 0
    for tag in _TAG.finditer(payload):
        text += payload[at : tag.start()]
        at = tag.end()
        if tag.group(2).lower() == "v":
            if text.strip():
                spoken.append((speaker, text))
            text = ""
            speaker = None if tag.group(1) else _name(tag.group(3))
    text += payload[at:]
    if text.strip():
        spoken.append((speaker, text))
    clean = [(name, " ".join(html.unescape(part).split())) for name, part in spoken]
    total = sum(len(part) for _, part in clean)
    done = 0
    for name, part in clean:
        begin = start + (end - start) * done / total if total else start
        done += len(part)
        until = start + (end - start) * done / total if total else end
        yield Segment(round(begin, 3), round(until, 3), part, name)


def _name(annotation: str) -> str | None:
    """`.loud Mary` and ` Mary` are Mary; classes come before the first space."""
    name = annotation.partition(" ")[2] if annotation.startswith(".") else annotation
    return " ".join(html.unescape(name).split()) or None
