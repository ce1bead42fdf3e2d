"""Shows and episodes that are there twice, and those that only look like it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.episode.twins import KnownEpisode, KnownFeed, find_twins, is_rerun, plain, twin_feeds
from pipeline.records import ParsedEpisode
from tests.conftest import NOW
from tests.fakes.rows import parsed_episode

E = parsed_episode(1, NOW, title="Queues lie about lateness", duration_s=3000.0, enclosure_length=48_000_000)
KNOWN = KnownEpisode(5, 2, "guid-1", E.title, NOW, 3000.0, 48_000_000)
DAY = timedelta(days=1)


def twin(e: ParsedEpisode, k: KnownEpisode, feed_id: int = 1, same_show: frozenset[int] = frozenset()) -> bool:
    (found,) = find_twins([e], feed_id, [k], same_show)
    assert found in (None, k)
    return found is not None


def test_the_same_episode_of_another_feed() -> None:
    assert twin(E, KNOWN)
    assert twin(replace(E, guid="other", duration_s=3500.0, title="QUEUES lie – about lateness!"), KNOWN)


@pytest.mark.parametrize(
    "changed",
    [
        {"title": "Another title that is long"},
        {"duration_s": 3700.0},
        {"duration_s": None},
        {"published": NOW + timedelta(days=3)},
        {"published": None},
    ],
)
def test_what_only_looks_like_it_in_another_show(changed: dict[str, object]) -> None:
    assert not twin(replace(E, **changed), KNOWN)  # type: ignore[arg-type]


def test_common_titles_say_nothing_across_shows() -> None:
    for title in ("Trailer", "Bonus", "Episode 12"):
        assert not twin(replace(E, title=title, duration_s=60.0), replace(KNOWN, title=title, duration_s=60.0))


def test_a_guid_alone_says_nothing() -> None:
    assert not twin(replace(E, title="Something else entirely"), KNOWN)
    assert not twin(replace(E, title="Something else", published=NOW + 9 * DAY), KNOWN, same_show=frozenset({2}))


def test_premium_comes_earlier_and_shorter_in_a_show_of_two_feeds() -> None:
    show = frozenset({2})
    early = replace(E, guid="premium-1", published=NOW - 6 * DAY, duration_s=2500.0)
    assert twin(early, KNOWN, same_show=show) and not twin(early, KNOWN)
    assert twin(replace(E, title="Queues lie (ad-free)"), KNOWN, same_show=show)  # the guid, on one day
    assert not twin(replace(early, duration_s=600.0), KNOWN, same_show=show)


def test_reruns_within_a_feed() -> None:
    again = replace(E, guid="new", published=NOW + 300 * DAY, enclosure_length=1)
    assert twin(replace(again, title="Encore: Queues Lie About Lateness"), KNOWN, feed_id=2)
    assert twin(replace(again, title="Queues lie about lateness (Rerun)", duration_s=None), KNOWN, feed_id=2)
    assert not twin(replace(again, title="Rerun: another one of them"), KNOWN, feed_id=2)
    # The daily news has one title, and one length or another.
    assert not twin(replace(again, duration_s=3001.0), KNOWN, feed_id=2)
    assert not twin(again, KNOWN, feed_id=2)
    assert twin(replace(again, enclosure_length=48_000_000), KNOWN, feed_id=2)


def test_titles() -> None:
    assert (
        plain("  Best of: The  “Classic” Ep. 1 ") == "the ep 1" and is_rerun("A REPLAY") and not is_rerun("Classical")
    )
    assert plain(None) == ""


def test_shows_with_two_feeds() -> None:
    feeds = [
        KnownFeed(1, "Slow Software", None),
        KnownFeed(2, "Slow software", None),
        KnownFeed(3, "Slow Software", None),
        KnownFeed(4, "The Long Table", "G-1"),
        KnownFeed(5, "The Long Table (Premium)", "g-1 "),
        KnownFeed(6, "", ""),
        KnownFeed(7, None, None),
    ]
    rows = {i: [replace(KNOWN, id=i * 10 + k, feed_id=i, title=f"Part {k}", published=NOW - k * DAY) for k in range(8)]
            for i in (1, 2, 3)}  # fmt: skip
    rows[3] = [replace(k, title=f"Other {n}") for n, k in enumerate(rows[3])]
    assert twin_feeds(feeds, rows) == {2: 1, 5: 4}
    assert twin_feeds(feeds, {}) == {5: 4}


def test_a_hostile_feed_costs_no_square() -> None:
    many = [replace(E, guid=f"n{k}", duration_s=9e5) for k in range(5000)]
    old = [replace(KNOWN, id=k, guid=f"o{k}") for k in range(2000)]
    began = time.process_time()
    assert set(find_twins(many, 1, old, frozenset({2}))) == {None}
    assert time.process_time() - began < 5
