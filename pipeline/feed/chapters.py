"""Podcasting 2.0 chapters: the JSON document that an episode's `podcast:chapters` names.

https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/examples/chapters/jsonChapters.md
"""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import urljoin

import httpx

from pipeline import transport
from pipeline.errors import ParseError
from pipeline.records import Chapter

MAX_BYTES = 1_000_000
MAX_CHAPTERS = 1000
MAX_TITLE = 500
MAX_URL = 2000
_TIMEOUT_S = 30.0


def fetch_chapters(client: httpx.Client, url: str) -> tuple[Chapter, ...]:
    """Get and read the document. Raises FetchError, GoneError, RefusedError, ParseError."""
    got = transport.get(client, url, max_bytes=MAX_BYTES, timeout_s=_TIMEOUT_S)
    return read_chapters(got.body, got.final_url)


def read_chapters(body: bytes, base_url: str = "") -> tuple[Chapter, ...]:
    """The chapters that have a time and a title, in order of time. Raises ParseError for what is no such document.

    Chapters with `"toc": false` change the picture alone and are left out, so are those beyond MAX_CHAPTERS.
    """
    if len(body) > MAX_BYTES:
        raise ParseError("The chapters are too large", why=f"more than {MAX_BYTES // 1_000_000} MB")
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise ParseError("The chapters are not valid JSON") from e
    entries = document.get("chapters") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ParseError("The document has no list of chapters")
    found = [c for entry in entries[:MAX_CHAPTERS] if (c := _chapter(entry, base_url)) is not None]
    return tuple(sorted(found, key=lambda c: c.start))


def _chapter(entry: Any, base_url: str) -> Chapter | None:
    if not isinstance(entry, dict) or entry.get("toc") is False:
        return None
    start, title = _seconds(entry.get("startTime")), _text(entry.get("title"), MAX_TITLE)
    if start is None or title is None:
        return None
    return Chapter(start, title, _url(entry.get("url"), base_url), _url(entry.get("img"), base_url))


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number < 1_000_000 else None


def _text(value: Any, most: int) -> str | None:
    if not isinstance(value, str):
        return None
    # Neither NUL nor a lone surrogate gets into a database.
    clean = value[: 4 * most].replace("\0", "").encode("utf-8", "replace").decode()
    return " ".join(clean.split())[:most] or None


def _url(value: Any, base_url: str) -> str | None:
    text = _text(value, MAX_URL)
    if text is None:
        return None
    try:
        whole = urljoin(base_url, text)
    except ValueError:
        return None
    return whole if whole.startswith(("http://", "https://")) else None
