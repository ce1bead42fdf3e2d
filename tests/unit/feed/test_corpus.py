"""Real feed documents with expected values, beside the checkout; all but one of them hold (docs/feeds.md)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.clock import iso_z
from pipeline.errors import ParseError
from pipeline.feed.parse import parse
from pipeline.records import ParsedFeed

FEEDS = Path(__file__).resolve().parents[3] / ".." / "shared" / "feeds"
pytestmark = pytest.mark.skipif(
    not FEEDS.is_dir(), reason="the feed files are not beside this checkout (../shared/feeds)"
)
OURS = {("partytime-11.xml", "new_feed_url"): "https://www.podserve.fm/series/rss/2202/behind-the-schms.rss"}
"""Where we read something else on purpose: docs/feeds.md says why."""
FILES: list[dict[str, Any]] = json.loads((FEEDS / "index.json").read_text())["files"] if FEEDS.is_dir() else []


def joined(values: list[str | None]) -> str:
    return hashlib.sha256("\n".join(v or "" for v in values).encode()).hexdigest()


def seconds(value: float | None) -> str | None:
    # The expected values cut decimal seconds off; we keep them.
    return None if value is None else str(int(value))


def read(entry: dict[str, Any]) -> ParsedFeed | None:
    try:
        return parse((FEEDS / entry["file"]).read_bytes(), entry["base_url_for_relative"])
    except ParseError:
        return None


def values(feed: ParsedFeed | None) -> dict[str, Any]:
    """What index.json states of a document, from our reading of it."""
    eps = feed.episodes if feed else ()
    dates = [e.published for e in eps if e.published]
    found: dict[str, Any] = {
        "feed_title": feed.title if feed else None,
        "n_audio_episodes": len(eps),
        "n_missing_guid": sum(e.guid is None for e in eps),
        "n_distinct_guids": len({e.guid for e in eps if e.guid}),
        "n_distinct_enclosure_urls": len({e.enclosure_url for e in eps}),
        "n_with_date": len(dates),
        "n_with_duration": sum(e.duration_s is not None for e in eps),
        "n_with_transcript": sum(bool(e.transcripts) for e in eps),
        "n_transcripts": sum(len(e.transcripts) for e in eps),
        "n_with_chapters_url": sum(e.chapters_url is not None for e in eps),
        "n_persons": sum(len(e.persons) for e in eps),
        "sum_duration_seconds": sum(int(e.duration_s or 0) for e in eps),
        "newest_published_utc": iso_z(max(dates)) if dates else None,
        "sha256_of_guids_in_order": joined([e.guid for e in eps]),
        "sha256_of_enclosure_urls_in_order": joined([e.enclosure_url for e in eps]),
        "sha256_of_published_in_order": joined([iso_z(e.published) for e in eps]),
        "sha256_of_durations_in_order": joined([seconds(e.duration_s) for e in eps]),
        "next_page_url": feed.next_page_url if feed else None,
        "new_feed_url": feed.new_feed_url if feed else None,
        "podcast_guid": feed.podcast_guid if feed else None,
        "ttl_minutes": str(feed.ttl_minutes) if feed and feed.ttl_minutes is not None else None,
        "language": feed.language if feed else None,
    }
    if eps:
        e = eps[0]
        found |= {
            "first.title": e.title,
            "first.guid": e.guid,
            "first.enclosure_url": e.enclosure_url,
            "first.enclosure_type": e.enclosure_type,
            "first.enclosure_length": None if e.enclosure_length is None else str(e.enclosure_length),
            "first.duration_seconds": None if e.duration_s is None else int(e.duration_s),
            "first.published_utc": iso_z(e.published),
            "first.chapters_url": e.chapters_url,
            "first.transcripts": [
                {"url": t.url, "type": t.type, "language": t.language, "rel": t.rel} for t in e.transcripts
            ],
            "first.persons": [[p.name, p.role, p.group, p.href, p.img] for p in e.persons],
        }
    return found


def expected(entry: dict[str, Any]) -> dict[str, Any]:
    stated: dict[str, Any] = dict(entry["expected"])
    first = stated.get("first_audio_episode") or {}
    return stated | {f"first.{k}": v for k, v in first.items()}


def compare(entry: dict[str, Any]) -> tuple[int, dict[str, tuple[Any, Any]]]:
    """How many values were compared, and those that differ."""
    got, want = values(read(entry)), expected(entry)
    names = [n for n in got if n in want and (entry["file"], n) not in OURS]
    return len(names), {n: (got[n], want[n]) for n in names if got[n] != want[n]}


@pytest.mark.parametrize("entry", FILES, ids=lambda e: e["file"])
def test_expected_values_hold(entry: dict[str, Any]) -> None:
    compared, wrong = compare(entry)
    assert compared
    assert wrong == {}


def test_how_many_values_hold() -> None:
    counted = [compare(entry) for entry in FILES]
    held = sum(n - len(wrong) for n, wrong in counted)
    assert (len(FILES), held, len(OURS)) == (54, 1577, 1)


@pytest.mark.parametrize("file, name", OURS)
def test_what_we_read_on_purpose(file: str, name: str) -> None:
    entry = next(e for e in FILES if e["file"] == file)
    assert values(read(entry))[name] == OURS[file, name] != expected(entry)[name]
