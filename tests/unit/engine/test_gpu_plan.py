"""The GPU's plan: nothing idles, turns are long, and no simple plan gets more of a day's episodes written in time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.engine.gpu_plan import Pace, Turn, Waiting, decide

HOUR = 3600.0
PACE = Pace(hear=0.05, write_s=60.0, switch_s=30.0, margin_s=600.0, turn_s=3600.0)
Plan = Callable[[Waiting, Pace], Turn]


def at(audio: tuple[float, ...] = (), heard: int = 0, deadline: float | None = None, turn: Turn = "hear") -> Waiting:
    return Waiting(audio, heard, deadline, turn)


def test_who_alone_waits_has_the_turn() -> None:
    assert decide(at((HOUR,), 0, 5 * HOUR, "write"), PACE) == "hear"
    assert decide(at((), 3, 5 * HOUR, "hear"), PACE) == "write"
    assert decide(at((), 0, None, "write"), PACE) == "write"


def test_far_from_the_hour_it_goes_on() -> None:
    assert decide(at((HOUR,) * 5, 3, 8 * HOUR, "hear"), PACE) == "hear"
    assert decide(at((HOUR,) * 5, 3, 8 * HOUR, "write"), PACE) == "write"


def test_it_turns_in_time_for_what_was_heard() -> None:
    # 3 heard: 30 s to change and 3 minutes to write; a fourth would take 3 + 1 minutes more.
    assert decide(at((HOUR,), 3, 600 + 30 + 180 + 239, "hear"), PACE) == "write"
    assert decide(at((HOUR,), 3, 600 + 30 + 180 + 241, "hear"), PACE) == "hear"


def test_near_the_hour_it_stays_with_writing() -> None:
    assert decide(Waiting((60.0,), 2, 600 + 150, "write", 9999.0), PACE) == "write"


def test_after_the_hour_was_missed_it_works_on() -> None:
    assert decide(at((HOUR,), 3, 100, "hear"), PACE) == "hear"


def test_nobody_waits_for_ever() -> None:
    assert decide(Waiting((HOUR,) * 500, 3, None, "hear", 3601.0), PACE) == "write"
    assert decide(Waiting((HOUR,) * 500, 300, None, "write", 3601.0), PACE) == "hear"


def simulate(audio: list[float], hour_s: float, pace: Pace, plan: Plan) -> tuple[int, int, float]:
    """Episodes written by the hour, changes, and seconds until all are written."""
    waiting, heard, written, changes, now, since = list(audio), 0, 0, 0, 0.0, 0.0
    in_time = 0
    turn: Turn = "hear"
    steps = 0
    while waiting or heard:
        steps += 1
        assert steps < 10_000
        wanted = plan(Waiting(waiting, heard, hour_s - now if now < hour_s else None, turn, now - since), pace)
        if wanted != turn:
            turn, changes, now = wanted, changes + 1, now + pace.switch_s
            since = now
        if turn == "hear":
            assert waiting, "the GPU idles"
            now += waiting.pop(0) * pace.hear
            heard += 1
        else:
            assert heard, "the GPU idles"
            now += pace.write_s
            heard, written = heard - 1, written + 1
            in_time += now <= hour_s
    return in_time, changes, now


def all_first(w: Waiting, _pace: Pace) -> Turn:
    return "hear" if w.audio_s else "write"


def one_by_one(w: Waiting, _pace: Pace) -> Turn:
    return "write" if w.heard else "hear"


@given(
    audio=st.lists(st.floats(60, 3 * HOUR), min_size=1, max_size=60),
    hour_s=st.floats(0, 12 * HOUR),
    hear=st.floats(0.01, 1.0),
    write_s=st.floats(5, 300),
)
@settings(max_examples=300, deadline=None)
@example(audio=[HOUR] * 20, hour_s=2 * HOUR, hear=0.05, write_s=60.0)
def test_no_simple_plan_gets_more_done_in_time(audio: list[float], hour_s: float, hear: float, write_s: float) -> None:
    pace = Pace(hear, write_s, 30.0, 0.0, 1e9)
    in_time, changes, ended = simulate(audio, hour_s, pace, decide)
    for other in (all_first, one_by_one):
        theirs, _, _ = simulate(audio, hour_s, pace, other)
        assert in_time >= theirs - 1, other.__name__
    # All work is done, and changing takes less than a tenth of it but for a few.
    assert ended <= sum(audio) * hear + len(audio) * write_s + 30.0 * changes + 1e-6
    assert changes <= 6


def test_a_morning() -> None:
    """20 episodes of an hour at 3 in the morning, digest at 7: all are in it, with two changes at most."""
    in_time, changes, _ = simulate([HOUR] * 20, 4 * HOUR, PACE, decide)
    assert (in_time, changes <= 2) == (20, True)
    # 60 of them do not fit: hearing all first leaves fewer in time than the plan.
    tight = simulate([HOUR] * 60, 3 * HOUR, PACE, decide)[0]
    assert tight > simulate([HOUR] * 60, 3 * HOUR, PACE, all_first)[0]
    assert tight >= 35


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_long_queues_change_seldom(n: int) -> None:
    _, changes, ended = simulate([HOUR] * n, 10 * 24 * HOUR, PACE, decide)
    assert changes * PACE.switch_s <= max(60.0, 0.1 * ended)
