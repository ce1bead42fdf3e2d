"""Which parsed episode is which stored one."""

import time
from dataclasses import replace
from datetime import timedelta

from pipeline.episode.identity import StoredEpisodeKey, match
from pipeline.episode.select import select
from pipeline.records import ParsedEpisode, TranscriptLink
from pipeline.settings import FeedSettings
from tests.conftest import NOW
from tests.fakes.rows import parsed_episode


def stored(e: ParsedEpisode, key: str | None = None, id_: int = 1) -> StoredEpisodeKey:
    return StoredEpisodeKey(
        id_, key or e.guid or "", e.guid, e.enclosure_url, e.enclosure_type, e.title, e.published, e.duration_s
    )


E1 = parsed_episode(1, NOW)
E2 = parsed_episode(2, NOW)


def test_guid_stays_though_every_enclosure_changes() -> None:
    (got,) = match([replace(E1, enclosure_url="https://cdn.example.org/new.mp3")], [stored(E1)])
    assert (got.action, got.id) == ("update", 1)


def test_unchanged_is_unchanged() -> None:
    assert [i.action for i in match([E1, E2], [stored(E1), stored(E2, id_=2)])] == ["unchanged", "unchanged"]


def test_a_changed_guid_is_healed_by_its_enclosure() -> None:
    (got,) = match([replace(E1, guid="other")], [stored(E1)])
    assert (got.action, got.id, got.key) == ("update", 1, "guid-1")


def test_title_day_and_duration_heal_between_old_and_new_only() -> None:
    changed = replace(E1, guid="other", enclosure_url="https://x.example.org/z.mp3", duration_s=900.0)
    assert match([changed], [stored(E1)])[0].action == "update"
    assert [i.action for i in match([changed, E1], [])] == ["insert", "insert"]
    assert [i.action for i in match([E1, changed], [stored(E1)])] == ["unchanged", "insert"]
    assert match([replace(changed, duration_s=5000.0)], [stored(E1)])[0].action == "insert"


def test_of_repeated_guids_the_first_is_stable() -> None:
    twin = replace(E2, guid="guid-1")
    got = match([E1, twin], [])
    assert [i.key for i in got] == ["guid-1", f"guid-1|{E2.enclosure_url}"]
    again = match([E1, twin], [stored(E1), stored(twin, f"guid-1|{E2.enclosure_url}", 2)])
    assert [i.action for i in again] == ["unchanged", "unchanged"]


def test_without_guid_the_link_then_the_enclosure() -> None:
    assert match([replace(E1, guid=None)], [])[0].key == "https://example.org/1"
    assert match([replace(E1, guid=None, link=None)], [])[0].key == E1.enclosure_url


def test_selection_of_a_new_feed_is_bounded() -> None:
    eps = [replace(E1, guid=str(k), published=NOW - timedelta(days=k)) for k in range(-1, 10)]
    settings = FeedSettings(lookback_days=7, max_new=5)  # type: ignore[call-arg]
    got = [c.stage for c in select(eps, settings, NOW, first=True)]
    assert got == ["future", *["download"] * 4, *["skipped"] * 6]
    assert {c.stage for c in select(eps[1:], settings, NOW, first=False)} == {"download"}


def test_a_healed_episode_is_known_by_its_new_guid() -> None:
    healed = stored(replace(E1, guid="other"), key="guid-1")
    far = replace(E1, guid="other", enclosure_url="https://x.example.org/z.mp3", title="Renamed")
    (got,) = match([far], [healed])
    assert (got.action, got.id, got.key) == ("update", 1, "guid-1")


def test_one_address_for_every_bulletin_is_not_one_episode() -> None:
    tomorrow = replace(E1, guid="g-new", title="Another day", published=NOW + timedelta(days=1))
    assert match([tomorrow], [stored(E1)])[0].action == "insert"
    assert match([replace(tomorrow, title=E1.title)], [stored(E1)])[0].action == "update"


def test_a_repeated_guid_stays_apart_in_any_order_and_alone() -> None:
    twin = replace(E2, guid="guid-1")
    known = [stored(E1), stored(twin, f"guid-1|{E2.enclosure_url}", 2)]
    assert [i.id for i in match([twin, E1], known)] == [2, 1]
    assert [i.id for i in match([twin], known)] == [2]
    assert [i.id for i in match([E1], known)] == [1]


def test_an_exact_repetition_is_taken_once() -> None:
    assert [i.key for i in match([E1, E2, E1], [])] == ["guid-1", "guid-2"]
    assert [i.action for i in match([E1, E1], [stored(E1)])] == ["unchanged"]


def test_a_guid_that_arrives_later_is_healed() -> None:
    bare = replace(E1, guid=None)
    assert match([E1], [stored(bare, key="https://example.org/1")])[0].action == "update"


def test_a_hostile_feed_costs_no_square() -> None:
    many = [replace(E1, guid=f"n{k}", enclosure_url=f"https://e.example.org/{k}", duration_s=9e5) for k in range(8000)]
    old = [stored(replace(E1, guid=f"o{k}", enclosure_url=f"https://o.example.org/{k}"), id_=k) for k in range(8000)]
    began = time.monotonic()
    assert {i.action for i in match(many, old)} == {"insert"}
    assert time.monotonic() - began < 5  # 0.1 s here; the square of 8,000 takes minutes


def test_a_transcript_that_comes_later_is_an_edit() -> None:
    link = TranscriptLink("https://example.org/1.vtt", "text/vtt")
    later, known = replace(E1, transcripts=(link,)), stored(E1)
    assert [i.action for i in match([E1], [known])] == ["unchanged"]
    assert [i.action for i in match([later], [known])] == ["update"]
    assert [i.action for i in match([later], [replace(known, transcripts=[{"url": link.url}])])] == ["unchanged"]
