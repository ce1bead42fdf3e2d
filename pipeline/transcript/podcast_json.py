"""Podcasting 2.0 JSON transcripts to segments.

https://github.com/Podcastindex-org/podcast-namespace/blob/main/transcripts/transcripts.md
"""

from __future__ import annotations

import html
import json
import math
from typing import Any

from pipeline.errors import ParseError
from pipeline.transcript.base import Segment


def read_podcast_json(text: str) -> tuple[Segment, ...]:
    """Segments in document order, one for each entry of `segments`; words are entries too. Raises ParseError.

    An entry without `endTime` ends where the next begins. Entries keep their index: one without text stays, empty.
    Some publishers escape the text as if it were HTML (`you&#39;re`): a reader is to see what was said.
    """
    try:
        document = json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse)
    except (ValueError, RecursionError) as e:
        raise ParseError("The transcript is not valid JSON") from e
    entries = document.get("segments") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ParseError("The transcript is not Podcasting 2.0 JSON", why="it has no list of segments")
    rows = [_row(entry, index) for index, entry in enumerate(entries)]
    found: list[Segment] = []
    for index, (start, end, body, speaker) in enumerate(rows):
        if end is None:
            end = rows[index + 1][0] if index + 1 < len(rows) else start
        found.append(Segment(start, end, body, speaker))
    return tuple(found)


def _row(entry: Any, index: int) -> tuple[float, float | None, str, str | None]:
    if not isinstance(entry, dict):
        raise ParseError(f"Segment {index} of the transcript is not an object")
    start = _number(entry.get("startTime"))
    if start is None:
        raise ParseError(f"Segment {index} of the transcript has no startTime in seconds")
    body = entry.get("body")
    if not isinstance(body, str):
        raise ParseError(f"Segment {index} of the transcript has no body")
    speaker = entry.get("speaker")
    name = " ".join(speaker.split()) if isinstance(speaker, str) else ""
    return start, _number(entry.get("endTime")), html.unescape(body), html.unescape(name) or None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")
