"""Tags, rules, the budget and twins in both databases."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pipeline.clock import FixedClock
from pipeline.episode.intake import past_wanted, take_in
from pipeline.episode.select import Backfill, FeedRules
from pipeline.feed.filters import Filters, to_json
from pipeline.records import Chapter, ParsedFeed, Person, Soundbite
from pipeline.settings import Settings
from pipeline.store import budget, episodes, feeds, twins
from pipeline.store.database import Database
from tests.fakes.rows import add_episode, parsed_episode


def test_tags_are_kept_once_and_go_with_their_feed(db: Database, clock: FixedClock) -> None:
    with db.begin() as conn:
        a, b = (feeds.add(conn, f"https://e.org/{n}", clock.now())[0] for n in "ab")
        feeds.tag(conn, a, ["x", "y"])
        feeds.tag(conn, a, ["y", "z"])
        feeds.tag(conn, b, ["z"])
        assert feeds.untag(conn, a, ["x", "none"]) == 1
        assert feeds.tags_of(conn) == {a: ["y", "z"], b: ["z"]}
        assert [r["id"] for r in feeds.listed(conn, "z")] == [a, b] and [r["id"] for r in feeds.listed(conn, "y")] == [
            a
        ]
        feeds.remove(conn, a)
        assert feeds.tags_of(conn) == {b: ["z"]}


def test_rules_and_people_of_a_feed(db: Database, settings: Settings, clock: FixedClock) -> None:
    ada = Person("Ada", "host", None, None, "https://e.org/a.png")
    e = parsed_episode(
        1, clock.now(), explicit=True, chapters=(Chapter(1.5, "One"),), soundbites=(Soundbite(1.0, 2.0, "S"),)
    )
    with db.begin() as conn:
        i, _ = feeds.add(conn, "https://e.org/f", clock.now())
        assert feeds.rules(conn, i) == FeedRules()
        rules = FeedRules(Filters(exclude=("x",)), Backfill(last=3))
        feeds.change(conn, i, {"filters": to_json(rules.filters), "backfill": str(rules.backfill)})
        assert feeds.rules(conn, i) == rules
        feeds.change(conn, i, {"persons": [{"name": "Bob", "role": None, "href": None}]})
        take_in(
            conn,
            i,
            ParsedFeed("S", episodes=(e, parsed_episode(2, clock.now(), persons=(ada,)))),
            settings.feed,
            clock.now(),
        )
        one, two = (episodes.get(conn, k) for k in (1, 2))
        assert one["explicit"] is True and one["chapters"][0]["title"] == "One" and one["soundbites"][0]["start"] == 1.0
        assert [p.name for p in episodes.persons(one)] == ["Bob"] and episodes.persons(two) == (ada,)
        # Chapters that were fetched stay when the feed's text changes.
        episodes.edit(conn, 1, replace(e, title="New", chapters=()), clock.now())
        assert episodes.get(conn, 1)["chapters"][0]["title"] == "One"


def test_a_duplicate_is_linked_and_let_go_when_the_first_fails(
    db: Database, settings: Settings, clock: FixedClock
) -> None:
    now = clock.now()
    e = parsed_episode(1, now, title="Queues lie about lateness", duration_s=3000.0)
    with db.begin() as conn:
        a, b = (feeds.add(conn, f"https://e.org/{n}", now)[0] for n in "ab")
        take_in(conn, a, ParsedFeed("One", episodes=(e,)), settings.feed, now)
        take_in(conn, b, ParsedFeed("Two", episodes=(replace(e, guid="other"),)), settings.feed, now)
        twin = episodes.get(conn, 2)
        assert (twin["stage"], twin["same_as"]) == ("skipped", 1) and "repeats episode 1 of feed 1" in twin["error"]
        assert episodes.release_future(conn, now) == 0
        episodes.advance(conn, 1, "download", "failed", error="gone")
        assert episodes.release_future(conn, now) == 1
        assert (episodes.get(conn, 2)["stage"], episodes.get(conn, 2)["same_as"]) == ("download", None)


def test_the_past_that_a_policy_takes_in(db: Database, settings: Settings, clock: FixedClock) -> None:
    now = clock.now()
    new = [parsed_episode(k, now - timedelta(days=10 * k), title=f"Part {k}") for k in range(6)]
    with db.begin() as conn:
        i, _ = feeds.add(conn, "https://e.org/f", now)
        take_in(conn, i, ParsedFeed("S", episodes=tuple(new)), settings.feed, now)
        assert episodes.counts(conn) == {"download": 1, "skipped": 5}
        rules = FeedRules(Filters(exclude=("part 2",)), Backfill(last=3))
        past = past_wanted(conn, i, rules)
        assert past == [(2, 600.0), (4, 600.0)]
        assert episodes.take_back(conn, [k for k, _ in past]) == 2
        assert episodes.waiting(conn, "download", now) == [1, 2, 4]
        assert episodes.get(conn, 4)["backfill"] is True
        assert past_wanted(conn, i, rules) == []


def test_hours_are_counted_once(db: Database, clock: FixedClock) -> None:
    now = clock.now()
    with db.begin() as conn:
        ids = [add_episode(conn, now, n=n) for n in range(1, 6)]  # ten minutes each
        assert [budget.take_up(conn, i, 0.4, now).admitted for i in ids] == [True, True, False, False, False]
        assert budget.take_up(conn, ids[0], 0.4, now).admitted  # a second start of the same one
        episodes.advance(conn, ids[0], "download", "failed", error="no audio came")
        assert budget.take_up(conn, ids[2], 0.4, now).admitted
        assert not budget.take_up(conn, ids[3], 0.4, now + timedelta(hours=23)).admitted
        assert budget.take_up(conn, ids[3], 0.4, now + timedelta(hours=25)).admitted


def test_shows_with_two_feeds(db: Database, clock: FixedClock) -> None:
    with db.begin() as conn:
        for show in (1, 2, 3):
            for n in range(4):
                add_episode(conn, clock.now(), show=show, n=n)
        feeds.change(conn, 2, {"title": "show 1!"})
        feeds.change(conn, 3, {"podcast_guid": "x"})
        for i in (1, 2):
            feeds.change(conn, i, {"title_key": "show 1"})
        assert twins.twins(conn) == {2: 1}
        assert twins.same_show(conn, 0, "Show 1", "x") == {1, 2, 3}
        assert twins.same_show(conn, 1, "SHOW 1", None) == {2}
        assert twins.same_show(conn, 1, None, None) == frozenset()


def test_extreme_values_of_a_feed_are_stored(db: Database, settings: Settings, clock: FixedClock) -> None:
    now = clock.now()
    long = "".join(hashlib.sha256(str(k).encode()).hexdigest() for k in range(300))  # compresses badly
    e = parsed_episode(
        1,
        datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
        guid=long,
        title="\U0010ffff" + long,
        duration_s=1e9,
        enclosure_length=10**15 - 1,
        enclosure_url="https://e.org/" + long,
    )
    first = parsed_episode(2, datetime(1, 1, 1, tzinfo=UTC), guid=None, link=long, title=None, duration_s=0.0)
    with db.begin() as conn:
        i, _ = feeds.add(conn, "https://e.org/f", now)
        assert take_in(conn, i, ParsedFeed(long, episodes=(e, first)), settings.feed, now) == (2, 0)
        assert episodes.get(conn, 1)["title"] == e.title
        assert take_in(conn, i, ParsedFeed(long, episodes=(e, first)), settings.feed, now) == (0, 0)


def test_a_flood_of_episodes_is_taken_in(db: Database, settings: Settings, clock: FixedClock) -> None:
    now = clock.now()
    old = [parsed_episode(k, now - timedelta(days=30), title=f"Part {k} of a flood") for k in range(3000)]
    new = [replace(e, guid=f"new-{k}", published=now, enclosure_url=f"x{k}") for k, e in enumerate(old)]
    with db.begin() as conn:
        i, _ = feeds.add(conn, "https://e.org/f", now)
        assert take_in(conn, i, ParsedFeed("S", episodes=tuple(old)), settings.feed, now) == (3000, 0)
        assert take_in(conn, i, ParsedFeed("S", episodes=tuple(new)), settings.feed, now)[0] == 3000
        past = past_wanted(conn, i, FeedRules(backfill=Backfill(last=10_000)))
        assert len(past) == 3000 and episodes.take_back(conn, [k for k, _ in past]) == 3000
