"""What a poll's outcome means: pure."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.answer import max_age, retry_after
from pipeline.errors import ExhaustedError, FetchError, ParseError, RefusedError
from pipeline.feed.decide import LONGEST, decide, fingerprint, host_hold, interval, to_check
from pipeline.feed.fetch import FetchedFeed, conditions
from pipeline.records import FeedForUpdate, ParsedFeed
from tests.conftest import NOW

FEED = FeedForUpdate(1, "https://example.org/feed", etag='"a"', last_modified="x", last_full_at=NOW, weekly_count=1.0)
OK = FetchedFeed(200, FEED.url, None, b"x", "hash", '"b"', "y", 1, 0.1)


def rng() -> random.Random:
    return random.Random(1)


def test_good_poll_keeps_validators_and_rhythm() -> None:
    v = decide(replace(FEED, error_count=3), OK, None, NOW, rng()).values
    assert (v["etag"], v["last_modified"], v["body_sha256"], v["error_count"]) == ('"b"', "y", "hash", 0)
    assert NOW + timedelta(days=7) / 24 * 0.9 <= v["next_poll_at"] <= NOW + timedelta(days=7) / 24 * 1.1


@pytest.mark.parametrize(
    ("weekly", "ttl", "max_age", "wait"),
    [
        (5000.0, None, None, timedelta(minutes=5)),
        (0.0, None, None, timedelta(hours=24)),
        (None, None, None, timedelta(hours=24)),
        (5000.0, 90, None, timedelta(minutes=90)),
        (5000.0, None, 7200.0, timedelta(hours=2)),
        (5000.0, 10**12, 1e12, timedelta(hours=24)),
    ],
)
def test_interval_bounds(weekly: float | None, ttl: int | None, max_age: float | None, wait: timedelta) -> None:
    assert interval(replace(FEED, weekly_count=weekly), ttl, max_age, rng()) == wait


def test_feeds_added_together_do_not_fall_due_together() -> None:
    one = random.Random(1)
    waits = {interval(FEED, None, None, one) for _ in range(20)}
    assert len(waits) == 20 and max(waits) / min(waits) < 1.25


def test_gone_is_disabled_and_said() -> None:
    got = decide(FEED, replace(OK, status=410), None, NOW, rng())
    assert got.values["state"] == "gone" and got.values["next_poll_at"] is None


@pytest.mark.parametrize(("errors", "least", "most"), [(0, 4, 6), (3, 32, 48), (50, 1440, 1440)])
def test_backoff_grows_to_a_day_and_never_stops(errors: int, least: int, most: int) -> None:
    got = decide(replace(FEED, error_count=errors), FetchError("slow"), None, NOW, rng())
    wait = got.values["next_poll_at"] - NOW
    assert timedelta(minutes=least) <= wait <= timedelta(minutes=most)
    assert "state" not in got.values


def test_retry_after_is_obeyed() -> None:
    got = decide(FEED, replace(OK, status=429, retry_after_s=7200.0), None, NOW, rng())
    assert got.values["next_poll_at"] == NOW + timedelta(hours=2)
    assert retry_after("120", None) == 120
    assert retry_after("Fri, 20 Nov 2026 10:00:00 GMT", "Fri, 20 Nov 2026 09:00:00 GMT") == 3600
    assert retry_after("99999999999", None) == 31 * 86400
    assert retry_after("soon", None) is None
    assert max_age('private, max-age="60"') == 60


def test_a_permanent_redirect_moves_after_seven_days_at_the_same_target() -> None:
    moved = replace(OK, permanent_url="https://new.example.org/feed")
    first = decide(FEED, moved, None, NOW, rng()).values
    assert "url" not in first and first["moved_since"] == NOW
    since = replace(FEED, moved_url=moved.permanent_url, moved_since=NOW - timedelta(days=6))
    assert "url" not in decide(since, moved, None, NOW, rng()).values
    since = replace(since, moved_since=NOW - timedelta(days=7))
    assert decide(since, moved, None, NOW, rng()).values["url"] == moved.permanent_url
    elsewhere = replace(moved, permanent_url="https://other.example.org/feed")
    assert decide(since, elsewhere, None, NOW, rng()).values["moved_since"] == NOW
    assert decide(since, OK, None, NOW, rng()).values["moved_url"] is None


def test_conditions_are_verbatim_and_left_out_once_a_week() -> None:
    assert conditions(FEED, NOW) == {"If-None-Match": '"a"', "If-Modified-Since": "x"}
    assert conditions(FEED, NOW + timedelta(days=8)) == {}


MOVING = replace(FEED, moved_url="https://new.example.org/feed", moved_since=NOW - timedelta(days=2))


@pytest.mark.parametrize("status", [404, 410])
def test_an_old_address_that_is_not_there_any_more_moves_at_once(status: int) -> None:
    got = decide(MOVING, replace(OK, status=status), None, NOW, rng())
    assert got.values["url"] == MOVING.moved_url and got.values["next_poll_at"] == NOW
    assert got.values["etag"] is None and "state" not in got.values
    # It is the new address that is not there: nothing moves.
    there = replace(OK, status=404, final_url=MOVING.moved_url or "", permanent_url=MOVING.moved_url)
    assert "url" not in decide(MOVING, there, None, NOW, rng()).values


def test_what_is_no_feed_begins_the_seven_days_anew() -> None:
    assert decide(MOVING, OK, ParseError("html"), NOW, rng()).values["moved_since"] is None
    assert "moved_since" not in decide(MOVING, FetchError("slow"), None, NOW, rng()).values


def test_gone_behind_a_temporary_redirect_is_an_error_only() -> None:
    elsewhere = replace(OK, status=410, final_url="https://cdn.example.org/x")
    assert "state" not in decide(FEED, elsewhere, None, NOW, rng()).values
    moved = replace(elsewhere, permanent_url="https://cdn.example.org/x")
    assert decide(FEED, moved, None, NOW, rng()).values["state"] == "gone"


def test_304_is_good_only_when_it_was_asked_for() -> None:
    asked = replace(OK, status=304, body=None, conditional=True)
    assert decide(FEED, asked, None, NOW, rng()).values["error_count"] == 0
    assert decide(FEED, replace(asked, conditional=False), None, NOW, rng()).values["error_count"] == 1


def test_an_error_that_names_a_time_is_obeyed() -> None:
    got = decide(FEED, FetchError("busy", retry_after_s=7200), None, NOW, rng())
    assert got.values["next_poll_at"] == NOW + timedelta(hours=2)


def test_304_renews_the_date_and_keeps_what_it_does_not_name() -> None:
    asked = replace(OK, status=304, body=None, conditional=True)
    values = decide(FEED, replace(asked, last_modified="later"), None, NOW, rng()).values
    assert values["last_modified"] == "later" and "etag" not in values and "last_full_at" not in values
    assert "last_modified" not in decide(FEED, replace(asked, last_modified=None), None, NOW, rng()).values


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 502, 503, 504, 206, 300, 999])
def test_every_other_status_waits_and_stops_nothing(status: int) -> None:
    got = decide(FEED, replace(OK, status=status), None, NOW, rng())
    wait = got.values["next_poll_at"] - NOW
    assert "state" not in got.values and got.error and str(status) in got.error
    assert "etag" not in got.values and "body_sha256" not in got.values
    assert wait == LONGEST / 2 if status == 403 else wait < timedelta(minutes=7)


def test_what_is_refused_is_asked_for_twice_a_day() -> None:
    got = decide(FEED, RefusedError("inside"), None, NOW, rng())
    assert got.values["next_poll_at"] == NOW + LONGEST / 2 and "state" not in got.values


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_host_holds_its_other_feeds_a_day_at_most(status: int) -> None:
    busy = replace(OK, status=status, retry_after_s=600.0)
    assert host_hold(busy, NOW) == NOW + timedelta(minutes=10)
    assert host_hold(replace(busy, retry_after_s=31 * 86400.0), NOW) == NOW + LONGEST
    assert host_hold(replace(busy, retry_after_s=None), NOW) is None
    assert host_hold(replace(busy, status=500), NOW) is None
    assert host_hold(FetchError("busy", retry_after_s=600), NOW) is None
    asked_for = decide(FEED, replace(busy, retry_after_s=31 * 86400.0), None, NOW, rng())
    assert asked_for.values["next_poll_at"] == NOW + timedelta(days=31)


def test_a_document_that_ended_its_parser_is_remembered() -> None:
    got = decide(FEED, OK, ExhaustedError("too much"), NOW, rng())
    assert got.values["bad_sha256"] == fingerprint("hash") and got.values["next_poll_at"] == NOW + LONGEST / 2
    assert decide(FEED, OK, ParsedFeed("x"), NOW, rng()).values["bad_sha256"] is None


SAYS = ParsedFeed("Show", new_feed_url="https://new.example.org/feed")


def test_an_announced_address_has_to_prove_itself_and_waits_seven_days() -> None:
    assert to_check(FEED, OK, SAYS, NOW) == SAYS.new_feed_url
    assert decide(FEED, OK, SAYS, NOW, rng(), checked=False).values["moved_url"] is None
    first = decide(FEED, OK, SAYS, NOW, rng(), checked=True).values
    assert (first["moved_url"], first["moved_since"]) == (SAYS.new_feed_url, NOW) and "url" not in first
    # In between nobody is asked, and nothing changes.
    waits = replace(FEED, moved_url=SAYS.new_feed_url, moved_since=NOW - timedelta(days=3))
    assert to_check(waits, OK, SAYS, NOW) is None
    assert not {"url", "moved_url"} & decide(waits, OK, SAYS, NOW, rng()).values.keys()
    # After seven days it has to be there still.
    due = replace(waits, moved_since=NOW - timedelta(days=7))
    assert to_check(due, OK, SAYS, NOW) == SAYS.new_feed_url
    assert decide(due, OK, SAYS, NOW, rng(), checked=True).values["url"] == SAYS.new_feed_url
    assert decide(due, OK, SAYS, NOW, rng(), checked=False).values["moved_url"] is None
    # A document that was not sent again says what it said before.
    unchanged = replace(OK, status=304, body=None, conditional=True)
    said = replace(due, new_feed_url=SAYS.new_feed_url)
    assert decide(said, unchanged, None, NOW, rng(), checked=True).values["url"] == SAYS.new_feed_url


@pytest.mark.parametrize(
    "url",
    [FEED.url, "file:///etc/passwd", "https://user:secret@evil.example/", "http://[::1", "no address", "https://"],
)
def test_what_is_announced_and_no_address_proposes_nothing(url: str) -> None:
    says = replace(SAYS, new_feed_url=url)
    assert to_check(FEED, OK, says, NOW) is None
    assert decide(FEED, OK, says, NOW, rng(), checked=True).values["moved_url"] is None


def test_a_private_feed_believes_no_announcement() -> None:
    private = replace(FEED, credentials="sealed")
    assert to_check(private, OK, SAYS, NOW) is None


def test_a_redirect_counts_more_than_an_announcement() -> None:
    moved = replace(OK, permanent_url="https://there.example.org/feed")
    assert to_check(FEED, moved, SAYS, NOW) is None
    assert decide(FEED, moved, SAYS, NOW, rng()).values["moved_url"] == moved.permanent_url
