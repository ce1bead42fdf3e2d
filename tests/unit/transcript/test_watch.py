"""When the Whisper process is given up."""

from __future__ import annotations

import pytest

from pipeline.transcript.watch import IDLE_S, LEAST_S, MOST_S, SILENT_S, Watch, limit_s


def at_work(watch: Watch, until: int, cpu: float = 1.0) -> None:
    """A beat each 5 s in which a core works."""
    for now in range(0, until, 5):
        watch.saw({"event": "alive", "cpu_s": now * cpu, "rss": 1}, float(now))


@pytest.mark.parametrize(
    ("audio_s", "slowest", "limit"),
    [
        *((None, 0.0, MOST_S), (10.0, 0.0, LEAST_S), (150.0, 0.0, 300.0), (3600.0, 0.0, MOST_S)),
        *((3600.0, 2.0, LEAST_S), (3600.0, 20.0, 300.0), (3600.0, 500.0, MOST_S)),
    ],
)
def test_the_limit_follows_length_and_pace(audio_s: float | None, slowest: float, limit: float) -> None:
    assert limit_s(audio_s, slowest) == limit


def test_silence_is_noticed_in_a_minute_whatever_the_length() -> None:
    watch = Watch(0.0, MOST_S)
    watch.saw({"event": "begun", "seconds": 7200.0}, 1.0)
    assert watch.verdict(SILENT_S) is None
    assert "said nothing" in str(watch.verdict(SILENT_S + 2))


def test_beats_without_work_are_no_life() -> None:
    watch = Watch(0.0, MOST_S)
    at_work(watch, int(IDLE_S) + 10, cpu=0.0)
    assert "did nothing" in str(watch.verdict(IDLE_S + 10))


def test_work_without_progress_ends_too() -> None:
    watch = Watch(0.0, MOST_S)
    watch.saw({"event": "begun", "seconds": 30.0}, 0.0)
    at_work(watch, 130)
    assert watch.verdict(LEAST_S - 1) is None
    assert "stood at 0 s" in str(watch.verdict(LEAST_S + 8))


def test_a_slow_machine_is_left_in_peace() -> None:
    watch = Watch(0.0, MOST_S)
    watch.saw({"event": "begun", "seconds": 3600.0}, 0.0)
    at_work(watch, 200)
    watch.saw({"event": "progress", "seconds": 60.0}, 200.0)
    for now in range(200, 600, 5):
        watch.saw({"event": "alive", "cpu_s": float(now), "rss": 1}, float(now))
    assert watch.verdict(600.0) is None


def test_a_process_that_gets_no_cpu_is_starved_not_stuck() -> None:
    watch = Watch(0.0, MOST_S)
    watch.saw({"event": "begun", "seconds": 48.0}, 0.0)
    at_work(watch, 905, cpu=0.1)
    assert watch.verdict(LEAST_S + 60) is None
    assert "stood at 0 s" in str(watch.verdict(MOST_S + 1))


def test_memory_over_its_limit_ends_it() -> None:
    watch = Watch(0.0, MOST_S, memory_bytes=10)
    watch.saw({"event": "alive", "cpu_s": 0.0, "rss": 9}, 1.0)
    assert watch.verdict(1.0) is None
    watch.saw({"event": "alive", "cpu_s": 1.0, "rss": 11}, 2.0)
    assert "memory" in str(watch.verdict(2.0))
