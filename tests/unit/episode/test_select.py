"""Which new episodes are processed: the first look, filters, the past, twins."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from pipeline.episode.select import Backfill, Choice, FeedRules, Twin, linked, parse_backfill, select
from pipeline.errors import UsageError
from pipeline.feed.filters import Filters
from pipeline.settings import FeedSettings
from tests.conftest import NOW
from tests.fakes.rows import parsed_episode

SETTINGS = FeedSettings(lookback_days=7, max_new=3)  # type: ignore[call-arg]
DAILY = [parsed_episode(k, NOW - timedelta(days=k)) for k in range(20)]


def stages(choices: list[Choice]) -> str:
    """f fresh, b backfill, s skipped, u future."""
    return "".join("b" if c.backfill else {"download": "f", "skipped": "s", "future": "u"}[c.stage] for c in choices)


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        ("none", "fff" + "s" * 17),
        ("last:2", "fff" + "s" * 17),
        ("last:5", "fffbb" + "s" * 15),
        ("last:500", "fff" + "b" * 17),
        (f"since:{NOW - timedelta(days=10):%Y-%m-%d}", "fff" + "b" * 8 + "s" * 9),
    ],
)
def test_backfill_of_a_new_feed(policy: str, found: str) -> None:
    rules = FeedRules(backfill=parse_backfill(policy))
    assert stages(select(DAILY, SETTINGS, NOW, first=True, rules=rules)) == found
    assert stages(select(DAILY[::-1], SETTINGS, NOW, first=True, rules=rules)) == found[::-1]


def test_only_what_passes_the_filters_is_counted() -> None:
    mixed = [replace(e, title="Bonus") if k % 2 else e for k, e in enumerate(DAILY)]
    rules = FeedRules(Filters(exclude=("bonus",)), Backfill(last=5))
    got = select(mixed, SETTINGS, NOW, first=True, rules=rules)
    assert stages(got) == "fsfsfsbsb" + "s" * 11
    assert got[1].reason == "its title matches the exclude rule 'bonus'"
    assert "older than 7 days" in (got[10].reason or "")


def test_an_archive_that_is_opened_later_is_the_past() -> None:
    known = NOW - timedelta(days=1)
    assert stages(select(DAILY, SETTINGS, NOW, first=False, newest_known=known)) == "f" * 8 + "s" * 12
    since = FeedRules(backfill=Backfill(since=(NOW - timedelta(days=10)).date()))
    assert (
        stages(select(DAILY, SETTINGS, NOW, first=False, newest_known=known, rules=since)) == "f" * 8 + "bbbs" + "s" * 8
    )
    # A machine that was off for weeks: what is newer than all that is known is fresh, however old.
    long_ago = NOW - timedelta(days=15)
    assert stages(select(DAILY, SETTINGS, NOW, first=False, newest_known=long_ago)) == "f" * 16 + "s" * 4


def test_twins_are_linked_and_said() -> None:
    twins = [Twin(7, "repeats episode 7 of feed 2"), None]
    got = linked([Choice("download", backfill=True), Choice("download")], twins)
    assert got == [Choice("skipped", "repeats episode 7 of feed 2", same_as=7), Choice("download")]
    assert linked([Choice("skipped", "too old")], twins[:1]) == [Choice("skipped", "too old")]


def test_the_future_waits_unless_it_is_not_wanted() -> None:
    coming = [parsed_episode(1, NOW + timedelta(days=1)), parsed_episode(2, NOW + timedelta(days=1), title="Bonus")]
    got = select(coming, SETTINGS, NOW, first=False, rules=FeedRules(Filters(exclude=("bonus",))))
    assert stages(got) == "us"


@pytest.mark.parametrize(
    "text", ["last", "last:", "last:-1", "last:99999", "since:yesterday", "since:2026-13-01", "all", "none:1"]
)
def test_policies_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="no backfill policy"):
        parse_backfill(text)


def test_policies_in_words() -> None:
    assert [str(parse_backfill(t)) for t in (None, "none", "last:20", "since:2026-01-31")] == [
        "none", "none", "last:20", "since:2026-01-31",
    ]  # fmt: skip
    assert parse_backfill("since:2026-01-31").since == date(2026, 1, 31)
