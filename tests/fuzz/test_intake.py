"""What a parser may hand over, into the database: nothing breaks, and what was stored is known again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.episode.intake import preview, take_in
from pipeline.episode.select import Backfill, FeedRules
from pipeline.feed.filters import Filters, to_json
from pipeline.records import Chapter, ParsedEpisode, ParsedFeed, Person, Soundbite, TranscriptLink
from pipeline.settings import FeedSettings, load
from pipeline.store import episodes, feeds
from pipeline.store.database import Database, open_database
from tests.conftest import NOW, environ_of
from tests.fuzz.damage import in_time, quick

SETTINGS = FeedSettings()  # type: ignore[call-arg]
LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXT = st.sampled_from(
    ["a", "Trailer", "A title that is long", "Rerun: a title that is long", "x" * 20_000, "é" * 3000]
)
WORDS = TEXT | st.text(LETTERS, min_size=1, max_size=12)
URLS = st.sampled_from(["https://e.org/1", "https://e.org/2", "x"]) | WORDS
DATES = st.sampled_from([NOW, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]) | st.datetimes(
    timezones=st.just(UTC)
)
SECONDS = st.floats(0, 1e12)
EPISODES = st.builds(
    ParsedEpisode,
    guid=st.none() | WORDS,
    title=st.none() | WORDS,
    published=st.none() | DATES,
    duration_s=st.none() | st.just(0.0) | SECONDS,
    enclosure_url=URLS,
    enclosure_type=st.none() | WORDS,
    enclosure_length=st.none() | st.integers(0, 10**15),
    link=st.none() | URLS,
    explicit=st.none() | st.booleans(),
    transcripts=st.lists(st.builds(TranscriptLink, URLS), max_size=2).map(tuple),
    persons=st.lists(st.builds(Person, WORDS), max_size=2).map(tuple),
    chapters=st.lists(st.builds(Chapter, SECONDS, WORDS), max_size=2).map(tuple),
    soundbites=st.lists(st.builds(Soundbite, SECONDS, SECONDS), max_size=2).map(tuple),
)
FEEDS = st.builds(
    ParsedFeed,
    title=st.none() | WORDS,
    podcast_guid=st.none() | WORDS,
    episodes=st.lists(EPISODES, max_size=6).map(tuple),
)
RULES = st.builds(
    FeedRules,
    st.builds(Filters, include=st.sampled_from([(), ("a",)]), exclude=st.sampled_from([(), ("/x+/",)])),
    st.sampled_from([Backfill(), Backfill(last=2), Backfill(since=NOW.date())]),
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(load(environ=environ_of(Path(tmp_path_factory.mktemp("intake")))))
    yield opened
    opened.close()


@quick()
@given(FEEDS, FEEDS, RULES)
def test_what_was_stored_is_known_again(kept: Database, one: ParsedFeed, two: ParsedFeed, rules: FeedRules) -> None:
    with kept.engine.begin() as conn, in_time():
        ids = [feeds.add(conn, f"https://e.org/{n}", NOW)[0] for n in "ab"]
        feeds.change(conn, ids[1], {"filters": to_json(rules.filters), "backfill": str(rules.backfill)})
        for feed_id, parsed in zip(ids, (one, two), strict=True):
            shown = preview(conn, parsed, rules, SETTINGS, NOW)
            new, _ = take_in(conn, feed_id, parsed, SETTINGS, NOW)
            assert new == shown.episodes == shown.now + shown.past + sum(n for _, n in shown.left)
            assert take_in(conn, feed_id, parsed, SETTINGS, NOW)[0] == 0
        rows = [episodes.get(conn, r["id"]) for r in episodes.listed(conn)]
        assert all(r["error"] for r in rows if r["stage"] in ("skipped", "future"))
        assert not [r for r in rows if r["same_as"] and r["same_as"] not in {k["id"] for k in rows}]
        conn.rollback()
