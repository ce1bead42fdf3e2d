"""What makes a span suspect, and what speech was missed."""

from __future__ import annotations

import pytest

from pipeline.transcript import quality
from pipeline.transcript.base import Word
from pipeline.transcript.quality import Span

GOOD = "We sound the alarm at ninety seconds, and alarms fell from sixty one a week to five."


def span(text: str = GOOD, *, start: float = 0.0, end: float = 6.0, logprob: float = -0.3, quiet: float = 0.01) -> Span:
    return Span(start, end, text, logprob, quiet)


def test_ordinary_speech_is_not_suspect() -> None:
    assert quality.suspicion(span(), 5.5) is None
    assert quality.suspicion(span("Thank you.", end=0.8), 0.7) is None
    assert quality.suspicion(span("Three times three times three times three is 81."), 5.5) is None


@pytest.mark.parametrize(
    ("suspect", "speech_s", "reason"),
    [
        (span("..."), 5.0, "empty"),
        (span("and the box of the queue " * 20, end=60), 55.0, "compresses"),
        (span("no no no no no no no no no no"), 5.0, "repeats"),
        (span(logprob=-1.2), 5.0, "unsure"),
        (span(end=1.5), 1.5, "too fast"),
        (span("Thanks for watching!"), 0.2, "phantom"),
        (span("Thanks for watching!", quiet=0.9), 5.0, "phantom"),
        (span("Untertitel der Amara.org-Community"), 0.0, "phantom"),
        (span("Sous-titrage Société Radio-Canada"), 0.0, "phantom"),
        (span(quiet=0.9), 0.5, "no speech"),
    ],
)
def test_suspect_spans(suspect: Span, speech_s: float, reason: str) -> None:
    assert quality.suspicion(suspect, speech_s) == reason


def test_the_words_that_whisper_was_told_are_no_speech() -> None:
    told = "Slow Software, Maya Lindgren, Owen Tate, The oldest job in the queue"
    assert quality.suspicion(span("Maya Lindgren, Owen Tate, the oldest job."), 5.0, hints=told) == "echoes"
    assert quality.suspicion(span("I'm Maya Lindgren, and Owen Tate is here."), 5.0, hints=told) is None
    assert quality.suspicion(span("Owen Tate."), 0.9, hints=told) is None


def test_words_over_music_are_dropped_and_words_over_speech_are_kept() -> None:
    words = [Word(1.0, 1.4, " Thank"), Word(1.4, 1.8, " you."), Word(10.0, 10.5, " Waste"), Word(10.5, 11.0, " fell.")]
    assert quality.without_phantoms(words, [(9.8, 11.2)]) == words[2:]
    assert quality.without_phantoms(words, [(0.9, 1.9), (9.8, 11.2)]) == words


def test_a_floor_under_what_may_be_quoted() -> None:
    assert quality.poor(100.0, 10.0, 0.9) is None
    assert quality.poor(100.0, 31.0, 0.9) == "31% of the speech could not be recognised"
    assert "40% of the words" in str(quality.poor(100.0, 0.0, 0.4))
    assert quality.poor(0.0, 0.0, None) is None


def test_a_phantom_is_a_whole_span_never_a_part() -> None:
    assert quality.is_phantom("Thank you so much for watching.")
    assert not quality.is_phantom("I said thanks for watching to the nurse who had watched him all night.")


def test_missed_is_speech_without_words() -> None:
    speech = [(0.0, 10.0), (10.0, 12.0), (20.0, 20.5), (30.0, 36.0)]
    words = [(0.2, 3.0), (5.0, 5.5), (34.0, 35.5)]
    assert quality.missed(speech, words) == [
        (pytest.approx(3.3), pytest.approx(4.7)),
        (pytest.approx(5.8), 12.0),
        (30.0, pytest.approx(33.7)),
    ]
    assert quality.missed(speech, [(0.0, 40.0)]) == []
    assert quality.missed([], words) == []
    assert quality.total_s(quality.missed([(1.0, 4.0)], [])) == 3.0


def test_joined_and_overlap() -> None:
    assert quality.joined([(5.0, 6.0), (0.0, 2.0), (3.0, 4.0)], 1.0) == [(0.0, 6.0)]
    assert quality.joined([(0.0, 2.0), (3.1, 4.0)], 1.0) == [(0.0, 2.0), (3.1, 4.0)]
    assert quality.overlap_s([(0.0, 2.0), (3.0, 5.0)], 1.0, 4.0) == 2.0
