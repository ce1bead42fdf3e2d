"""Selection: caps that relax in a stated order, novelty, thin days."""

from datetime import UTC, datetime

from pipeline.digest.select import select
from pipeline.records import StoredInsight
from pipeline.store.insights import Candidate, Had


def candidate(n: int, score: float, episode: int, show: int, text: str | None = None) -> Candidate:
    said = text or f"Text number {n}"
    at = datetime(2026, 1, 1, tzinfo=UTC)
    insight = StoredInsight(
        n, episode, show, f"T{n}", said, said, 0, 0, 0, 1, None, score, "selecting", None, "S", "E", None, at, "whisper"
    )
    return Candidate(insight, said.lower(), None)


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def test_one_an_episode_and_two_a_show_while_that_fills_the_digest() -> None:
    pool = [candidate(n, 1 - n / 100, episode=n // 2, show=n // 6) for n in range(18)]
    got = select(pool, [], 5, 0.0, never)
    assert [c.insight.id for c in got.chosen] == [0, 2, 6, 8, 12]
    assert not got.relaxed


def test_caps_relax_to_two_and_three_but_no_further() -> None:
    pool = [candidate(n, 1 - n / 100, episode=n // 5, show=1) for n in range(10)]
    got = select(pool, [], 5, 0.0, never)
    assert [c.insight.id for c in got.chosen] == [0, 1, 5]
    assert got.relaxed
    assert {x.reason for x in got.left} >= {"already 3 of this show"}


def test_the_floor_never_gives() -> None:
    got = select([candidate(1, 0.9, 1, 1), candidate(2, 0.1, 2, 2)], [], 5, 0.5, never)
    assert [c.insight.id for c in got.chosen] == [1]


def test_what_was_had_never_returns_and_twins_go_once() -> None:
    pool = [candidate(1, 0.9, 1, 1, "Old words"), candidate(2, 0.8, 2, 2, "Same"), candidate(3, 0.7, 3, 3, "Same")]
    got = select(pool, [Had(99, "old words", "Old words", None)], 5, 0.0, never)
    assert [c.insight.id for c in got.chosen] == [2]


def test_a_judged_repeat_is_left_with_its_reason() -> None:
    def judge(a: str, _va: object, b: str, _vb: object) -> str | None:
        return "same claim" if {a, b} == {"X", "Y"} else None

    got = select([candidate(1, 0.9, 1, 1, "X"), candidate(2, 0.8, 2, 2, "Y")], [], 5, 0.0, judge)
    assert len(got.chosen) == 1
    assert got.left[0].reason == "says what a better one says: same claim"
