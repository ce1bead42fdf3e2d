"""Sentences from captions and from words."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.transcript import publisher
from pipeline.transcript.base import Segment, Word
from pipeline.transcript.segment import MAX_WORDS, sentences_from_segments, sentences_from_words

SHARED = Path(__file__).resolve().parents[3] / "../shared/transcripts"


def texts(*parts: str) -> list[str]:
    segments = [Segment(float(n), n + 1.0, part) for n, part in enumerate(parts)]
    return [sentence.text for sentence in sentences_from_segments(segments)]


def test_captions_join_to_one_sentence_and_split_into_several() -> None:
    found = sentences_from_segments(
        [Segment(0, 2, "It began  as a", "A"), Segment(2, 4, "small thing. Then it", "A"), Segment(4, 6, "grew!", "A")]
    )
    assert [s.text for s in found] == ["It began as a small thing.", "Then it grew!"]
    assert [s.number for s in found] == [0, 1]
    assert [s.segments for s in found] == [(0, 1), (1, 2)]
    assert found[0].start == 0
    assert 2 < found[0].end < found[1].start < 4
    assert found[1].end == 6
    assert found[0].speaker == "A"


def test_nothing_joins_across_speakers_or_silence() -> None:
    found = sentences_from_segments(
        [Segment(0, 1, "and so", "A"), Segment(1, 2, "we", "B"), Segment(2, 3, "went", None), Segment(5, 6, "home")]
    )
    assert [(s.text, s.speaker) for s in found] == [("and so", "A"), ("we", "B"), ("went", None), ("home", None)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Smith met Mr. Jones at St. Mary.",
        "It costs 3.5 dollars, e.g. in the U.S. Army.",
        "J. R. Tolkien wrote at 9 a.m. sharp.",
        "We waited... and then left.",
        '"Stop!" he said.',
        "See fig. 3 and no. 4, i.e. both.",
        "Go to example.com now.",
    ],
)
def test_these_are_one_sentence(sentence: str) -> None:
    assert texts(sentence) == [sentence]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("No. That is it.", 2),
        ("We left the U.S. Then we came back.", 2),
        ("So did I. Then she came.", 2),
        ("Really?! Yes. (Of course.) Good", 4),
        ("He said “stop.” We stopped.", 2),
        ("今日は。明日は！", 2),
    ],
)
def test_these_are_several(text: str, count: int) -> None:
    assert len(texts(text)) == count


def test_punctuation_of_its_own_segment_gets_no_space() -> None:
    assert texts("one", ",", "two", ".") == ["one, two."]


def test_talk_without_full_stops_is_cut_within_reach() -> None:
    parts = [" ".join(f"w{n}x{m}" for m in range(7)) for n in range(30)]
    found = texts(*parts)
    assert all(len(text.split()) <= MAX_WORDS for text in found)
    assert " ".join(found) == " ".join(parts)
    # Cuts fall between captions, not inside one.
    assert all(text.split()[0].endswith("x0") for text in found)


def test_words_are_cut_at_silence_and_keep_their_times() -> None:
    words = [Word(1.0, 1.2, " So"), Word(1.2, 1.5, " um"), Word(4.0, 4.4, " yes."), Word(4.5, 5.0, " Good")]
    assert [(s.start, s.end, s.text, s.segments) for s in sentences_from_words(words)] == [
        (1.0, 1.5, "So um", None),
        (4.0, 4.4, "yes.", None),
        (4.5, 5.0, "Good", None),
    ]


def test_words_of_writing_without_spaces_stay_together() -> None:
    words = [Word(n / 2, n / 2 + 0.4, text) for n, text in enumerate(["今日", "は", "。", "明日"])]
    assert [s.text for s in sentences_from_words(words)] == ["今日は。", "明日"]


@given(
    st.lists(
        st.tuples(st.text(alphabet="ab .!?,A…\"'。", max_size=40), st.sampled_from([None, "A", "B"]), st.floats(0, 3)),
        max_size=12,
    )
)
def test_no_character_is_lost_and_times_do_not_run_back(rows: list[tuple[str, str | None, float]]) -> None:
    segments, at = [], 0.0
    for text, speaker, gap in rows:
        segments.append(Segment(at + gap, at + gap + 1, text, speaker))
        at += gap + 1
    found = sentences_from_segments(segments)
    assert "".join("".join(s.text.split()) for s in found) == "".join("".join(s.text.split()) for s in segments)
    for before, after in pairwise(found):
        assert before.start <= before.end <= after.start + 1e-3
        assert before.segments is not None and after.segments is not None
        assert before.segments[1] <= after.segments[0]


def test_real_transcripts_keep_every_word() -> None:
    files = sorted(path for path in SHARED.glob("*.json") if path.name != "index.json")[:5] if SHARED.is_dir() else []
    if not files:
        pytest.skip("the corpus of real transcripts is not beside this checkout")
    for path in files:
        segments = publisher.read(path.read_bytes())
        publisher.check(segments, max(s.end for s in segments), "en")
        found = sentences_from_segments(segments)
        bodies = [entry["body"] for entry in json.loads(path.read_text("utf-8"))["segments"]]
        assert " ".join(s.text for s in found).split() == " ".join(bodies).split()
