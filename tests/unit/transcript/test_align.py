"""A publisher's text at the times of the words heard."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.errors import RefusedError
from pipeline.records import Person
from pipeline.transcript import publisher
from pipeline.transcript.align import aligned, matches
from pipeline.transcript.base import Segment, Word
from pipeline.transcript.segment import sentences_from_segments
from pipeline.transcript.speakers import named

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
READ = (
    "This episode is brought to you by Marrowfield, the only ladder that folds into a briefcase. Go to marrowfield "
    "dot example and get two rungs for free with your first order today."
)


def published(name: str = "slow-software-02") -> tuple[Segment, ...]:
    return publisher.read((SAMPLES / f"{name}.vtt").read_bytes(), type="text/vtt")


def heard(segments: tuple[Segment, ...], seed: int = 1, wrong: float = 0.06) -> list[Word]:
    """The words of captions as a recogniser hears them: some wrong, some dropped, times a little off."""
    draw = random.Random(seed)
    found = []
    for s in segments:
        parts = s.text.split()
        step = (s.end - s.start) / len(parts)
        for n, part in enumerate(parts):
            at = s.start + n * step + (draw.uniform(-0.05, 0.05) if n else 0.0)
            if draw.random() < wrong / 3:
                continue
            found.append(Word(at, at + step * 0.9, " " + ("mumble" if draw.random() < wrong else part)))
    return found


def later(words: list[Word], seconds: float) -> list[Word]:
    return [Word(w.start + seconds, w.end + seconds, w.text) for w in words]


def test_an_inserted_read_moves_what_comes_after_it_and_is_marked() -> None:
    segments = published()
    words = heard(segments)
    border = next(s.start for s in segments if s.start > 80.0)
    cut = next(n for n, w in enumerate(words) if w.start > border - 0.1)
    at = words[cut].start
    ad = [Word(at + 0.3 + n * 0.35, at + 0.6 + n * 0.35, " " + w) for n, w in enumerate(READ.split())]
    found = aligned(segments, [*words[:cut], *ad, *later(words[cut:], 15.0)])
    assert found.placed > 0.9
    truth = {s.text: s for s in sentences_from_segments(segments)}
    compared = 0
    for s in found.sentences:
        if s.mark is None:
            # Verbatim, with its speaker, and at its second.
            true = truth[s.text]
            assert s.speaker == true.speaker
            assert abs(s.start - true.start - (15.0 if true.start >= border - 0.1 else 0.0)) < 0.6, s.text
            compared += 1
    assert compared >= len(truth) - 2
    marked = [s for s in found.sentences if s.mark]
    assert " ".join(s.text for s in marked) == READ
    assert {s.mark for s in marked} == {"sponsor"} and "inserted" in str(marked[0].reason)
    assert found.inserted_s == pytest.approx(len(READ.split()) * 0.35, abs=1.0)
    starts = [s.start for s in found.sentences]
    assert starts == sorted(starts) and [s.number for s in found.sentences] == list(range(len(starts)))


def test_a_text_without_any_times_gets_them_and_keeps_its_names() -> None:
    segments = published()
    text = "\n\n".join(f"{s.speaker}: {s.text}" for s in segments)
    with pytest.raises(RefusedError, match="carries no times") as caught:
        publisher.read(text.encode(), type="text/plain")
    found = aligned(caught.value.segments, heard(segments))  # type: ignore[attr-defined]
    assert found.placed > 0.9
    by_text = {s.text: s for s in sentences_from_segments(segments)}
    same = [s for s in found.sentences if s.text in by_text]
    assert len(same) >= 0.9 * len(found.sentences)
    assert all(s.speaker == by_text[s.text].speaker and abs(s.start - by_text[s.text].start) < 0.6 for s in same)


def test_what_was_never_heard_is_left_out() -> None:
    segments = published()
    extra = Segment(0.0, 0.0, "Subscribe to our members' feed for another hour of unheard conversation about gardens.")
    found = aligned([segments[0], extra, *segments[1:]], heard(segments))
    assert not any("gardens" in s.text for s in found.sentences)


def test_a_sentence_is_cut_at_a_silence_heard_in_it() -> None:
    words = ["We", "wrote", "it", "down", "on", "paper", "and", "then", "nobody", "ever", "looked", "at", "it", "again"]
    heard_words = [Word(n * 0.4 + (3.0 if n > 6 else 0.0), n * 0.4 + 0.35 + (3.0 if n > 6 else 0.0), w)
                   for n, w in enumerate(words)]  # fmt: skip
    found = aligned([Segment(0, 9, " ".join(words) + ".")], heard_words)
    assert [s.text for s in found.sentences] == [
        "We wrote it down on paper and",
        "then nobody ever looked at it again.",
    ]


def test_another_text_is_refused() -> None:
    with pytest.raises(RefusedError, match="not what the audio says"):
        aligned(published("long-table-02"), heard(published()))
    with pytest.raises(RefusedError):
        aligned(published(), [])


def test_matches_rise_and_are_equal() -> None:
    draw = random.Random(4)
    a = [draw.choice("abcdefgh") for _ in range(400)]
    b = [w for w in a if draw.random() > 0.2]
    pairs = list(matches(a, b))
    ordered = sorted(pairs)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(x[0] < y[0] and x[1] < y[1] for x, y in pairwise(ordered))
    assert len(pairs) > 0.6 * len(b)


def test_eight_hours_take_seconds() -> None:
    draw = random.Random(5)
    vocabulary = [f"w{n}" for n in range(4000)]
    said = draw.choices(vocabulary, weights=[1 / (n + 1) for n in range(4000)], k=70_000)
    misheard = [w if draw.random() > 0.1 else "x" for w in said]
    begun = time.process_time()
    assert len(list(matches(said, misheard))) > 55_000
    assert time.process_time() - begun < 20


def test_speakers_are_named_only_by_those_who_know() -> None:
    persons = (Person("Ann Lee", "host"), Person("Ann Moor", "guest"), Person("Bo Quill", "guest"))
    labels = ["Lee:", "BO QUILL", "A.L.", "Ann", "Speaker 1", "SPEAKER_00", "Unknown", "Host", "Zoe", None, "Guest"]
    expected = ["Ann Lee", "Bo Quill", "Ann Lee", "Ann", None, None, None, "Ann Lee", "Zoe", None, "Guest"]
    assert named(labels, persons) == expected
