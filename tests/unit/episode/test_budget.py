"""The daily budget of audio hours: who goes first, who waits, until when, and what is said."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.episode.budget import LOOK_AGAIN, Taken, Verdict, Waiting, decide
from tests.conftest import NOW

H = 3600.0


def fresh(i: int, hours: float = 1.0) -> Waiting:
    return Waiting(i, hours * H, False)


def old(i: int, hours: float = 1.0) -> Waiting:
    return Waiting(i, hours * H, True)


def taken(hours_ago: float, hours: float) -> Taken:
    return Taken(NOW - timedelta(hours=hours_ago), hours * H)


def admitted(waiting: list[Waiting], used: list[Taken], limit: float) -> list[int]:
    return [w.id for w in waiting if decide(w.id, waiting, used, limit, NOW).admitted]


def test_the_first_that_fit_go_on() -> None:
    assert admitted([fresh(1), fresh(2, 3), fresh(3), old(4, 0.5)], [], 3.5) == [1, 3]
    assert admitted([fresh(1), fresh(2), old(3), old(4)], [taken(5, 1)], 4) == [1, 2, 3]


def test_old_ones_never_pass_a_fresh_one_that_waits() -> None:
    assert admitted([fresh(1, 2), old(2, 0.2)], [taken(1, 3)], 4) == []


def test_a_day_is_the_last_24_hours() -> None:
    assert admitted([fresh(1)], [taken(24, 4)], 4) == [1]
    assert admitted([fresh(1)], [taken(23.9, 4)], 4) == []


def test_one_longer_than_the_limit_goes_when_nothing_else_went() -> None:
    assert admitted([fresh(1, 9), fresh(2)], [], 4) == [1]
    assert admitted([fresh(1, 9), fresh(2), old(3)], [taken(2, 1)], 4) == [2, 3]


def test_who_waits_is_told_why_and_until_when() -> None:
    v = decide(1, [fresh(1)], [taken(23.5, 2), taken(3, 2)], 4, NOW)
    assert v.ask_at == NOW + timedelta(minutes=30)
    assert v.reason == (
        "the daily budget of 4 audio hours: 4.0 h were taken up in the last 24 hours, this one has 1.0 h; "
        "its turn comes 2026-11-20 08:30 UTC at the earliest"
    )
    assert decide(1, [fresh(1)], [taken(3, 4)], 4, NOW).ask_at == NOW + LOOK_AGAIN
    behind = decide(2, [fresh(1, 2), old(2, 0.2)], [taken(1, 3)], 4, NOW)
    assert "fresh episodes go before old ones" in (behind.reason or "")


def test_who_does_not_wait_is_not_held_up() -> None:
    assert decide(99, [fresh(1)], [taken(1, 9)], 4, NOW) == Verdict(True)


@given(
    st.lists(st.tuples(st.floats(60, 20_000), st.booleans()), min_size=1, max_size=30),
    st.lists(st.tuples(st.floats(0.1, 30), st.floats(0.1, 5)), max_size=10),
    st.floats(0.5, 24),
)
def test_the_limit_holds_and_nobody_waits_for_ever(
    lengths: list[tuple[float, bool]], past: list[tuple[float, float]], limit: float
) -> None:
    waiting = sorted((Waiting(k, s, b) for k, (s, b) in enumerate(lengths)), key=lambda w: w.backfill)
    used = [taken(a, h) for a, h in past]
    before = sum(t.seconds for t in used if t.at > NOW - timedelta(hours=24))
    went = [w for w in waiting if decide(w.id, waiting, used, limit, NOW).admitted]
    total = before + sum(w.seconds for w in went)
    assert total <= limit * H + 1e-6 or (before == 0 and len(went) == 1) or not went
    if before == 0:
        assert went
    for w in waiting:
        v = decide(w.id, waiting, used, limit, NOW)
        assert v.admitted or (v.reason and v.ask_at and timedelta(0) < v.ask_at - NOW <= LOOK_AGAIN)
