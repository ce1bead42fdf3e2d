"""The words of a feed that Whisper is told before it listens: with them names come out right (docs/transcripts.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.records import Chapter, Person

MOST_WORDS = 40
"""Each costs a little in every window, and a long list is sooner repeated than heard."""


def hints(
    show: str | None, title: str | None, persons: Sequence[Person] = (), chapters: Sequence[Chapter] = ()
) -> str | None:
    """Show, persons, title and chapters' titles, as far as they fit, the likeliest names first."""
    found: list[str] = []
    words = 0
    for item in dict.fromkeys(_plain([show, *(p.name for p in persons), title, *(c.title for c in chapters)])):
        size = len(item.split())
        if words + size <= MOST_WORDS:
            found.append(item)
            words += size
    return ", ".join(found) or None


def _plain(items: Iterable[str | None]) -> list[str]:
    return [text for item in items if (text := " ".join((item or "").split()))]
