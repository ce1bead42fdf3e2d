"""Days of digests with planted reruns, twins and other recognitions: nothing reaches the subscriber twice."""

from pathlib import Path

import pytest

from bench.never_twice import run

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_transcripts = pytest.mark.skipif(
    not (SHARED / "transcripts").is_dir(), reason="the collection of transcripts is not beside the checkout"
)


@needs_transcripts
@pytest.mark.parametrize(("days", "talks"), [(4, 5), pytest.param(30, None, marks=pytest.mark.slow)])
def test_no_repeat_reaches_the_subscriber(days: int, talks: int | None) -> None:
    outcome = run(SHARED, days, talks, say=lambda _line: None)
    assert outcome.reached == {}
    assert sum(outcome.control.values()) > 0  # without the comparison some do, so the plants are real
    assert set(outcome.planted) == {"rerun", "twin", "misheard"} and outcome.mails >= days - 1
