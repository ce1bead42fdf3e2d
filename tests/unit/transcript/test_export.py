"""Documents that are written are read back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Sentence, Transcript
from pipeline.transcript import publisher
from pipeline.transcript.export import export
from pipeline.transcript.segment import sentences_from_segments

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt", "json": "application/json", "txt": "text/plain"}


def transcript(*sentences: Sentence) -> Transcript:
    return Transcript("en", 100.0, sentences, "whisper")


def said(text: str, n: int = 0, speaker: str | None = None, mark: str | None = None) -> Sentence:
    return Sentence(n, n * 3.0 + 0.125, n * 3.0 + 2.75, text, speaker, mark)


def demo() -> Transcript:
    segments = publisher.read((SAMPLES / "slow-software-02.vtt").read_bytes(), type="text/vtt")
    return transcript(*sentences_from_segments(segments))


@pytest.mark.parametrize("form", ["srt", "vtt", "json"])
def test_the_demos_transcript_comes_back_exactly(form: str) -> None:
    t = demo()
    back = publisher.read(export(t, form).encode(), type=TYPES[form])
    assert [(s.start, s.end, s.text, s.speaker) for s in back] == [
        (s.start, s.end, s.text, s.speaker) for s in t.sentences
    ]


def test_plain_text_comes_back_to_the_second() -> None:
    t = demo()
    back = publisher.read(export(t, "txt").encode(), type="text/plain")
    assert [(s.text, s.speaker) for s in back] == [(s.text, s.speaker) for s in t.sentences]
    assert all(0 <= s.start - b.start < 1 for s, b in zip(t.sentences, back, strict=True))


@pytest.mark.parametrize("form", ["srt", "vtt", "json"])
@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.lists(
            st.sampled_from([*"aZ9 .,:;'\"<>&-{}\\/#[]→é愛", "-->", "<v A>", "&amp;", "{\\an8}", "42"]), max_size=12
        )
        .map("".join)
        .map(lambda t: " ".join(t.split()))
        .filter(lambda t: any(c.isalnum() for c in t)),
        min_size=1,
        max_size=6,
    )
)
def test_any_text_comes_back(form: str, texts: list[str]) -> None:
    t = transcript(*(said(text, n) for n, text in enumerate(texts)))
    back = publisher.read(export(t, form).encode(), type=TYPES[form])
    assert [(s.start, s.end, s.text, s.speaker) for s in back] == [(s.start, s.end, s.text, None) for s in t.sentences]


def test_a_name_that_srt_could_not_tell_from_text_is_left_out_there_only() -> None:
    t = transcript(said("Welcome.", 0), said("Thank you.", 1, "ann lee"), said("So.", 2, "ann lee"))
    assert "ann lee" not in export(t, "srt")
    assert export(t, "vtt").count("<v ann lee>") == 2


def test_what_is_marked_can_be_left_out() -> None:
    t = transcript(said("Talk.", 0), said("Buy this.", 1, mark="sponsor"))
    assert "Buy" in export(t, "txt") and "Buy" not in export(t, "txt", marked=False)


def test_hours_are_written() -> None:
    t = transcript(Sentence(0, 3723.4567, 3725.0, "Late."))
    assert "01:02:03,457 --> 01:02:05,000" in export(t, "srt")
    assert export(t, "txt") == "[01:02:03] Late.\n"
