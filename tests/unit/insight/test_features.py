from __future__ import annotations

import numpy as np

from pipeline.insight.features import NAMES, content_words, lead, matrix, text_of
from pipeline.records import Passage, Sentence, Transcript

TEXTS = (
    "What do you do about queues?",
    "And so we stopped counting them, because 40,000 labels made nobody late at Kestrel.",
    "Yeah, thanks for being on the podcast!",
)


def transcript(speakers: tuple[str | None, ...] = ("Maya", "Owen", "Maya")) -> Transcript:
    return Transcript(
        "en", 30.0, tuple(Sentence(i, i, i + 1, t, speakers[i]) for i, t in enumerate(TEXTS)), "publisher"
    )


def feature(name: str, first: int, last: int, found: Transcript | None = None) -> float:
    return float(matrix([Passage(first, last)], found or transcript())[0, NAMES.index(name)])


def test_a_row_a_passage_and_a_column_a_name() -> None:
    assert matrix([Passage(0, 0), Passage(1, 2)], transcript()).shape == (2, len(NAMES))
    assert matrix([], transcript()).shape == (0, len(NAMES))
    assert len(set(NAMES)) == len(NAMES)


def test_what_is_counted() -> None:
    assert feature("numbers", 1, 1) == 1
    assert feature("names", 1, 1) == 1
    assert feature("starts_connective", 1, 1) == 1
    assert feature("starts_answer", 2, 2) == 1
    assert feature("questions", 0, 1) == 0.5
    assert feature("after_question", 1, 1) == 1
    assert feature("causal", 1, 1) > 0
    assert feature("show_talk", 2, 2) > feature("show_talk", 1, 1)
    assert feature("position", 0, 0) == 0
    assert feature("position", 2, 2) == 1
    assert feature("voices", 0, 1) == 1


def test_what_only_speakers_tell_is_unknown_without_them() -> None:
    row = matrix([Passage(0, 1)], transcript((None, None, None)))[0]
    unknown = {name for name, value in zip(NAMES, row, strict=True) if np.isnan(value)}
    assert unknown == {"voices", "speaker_share", "speaker_runs_on"}


def test_text_helpers() -> None:
    assert text_of(transcript(), 0, 1) == f"{TEXTS[0]} {TEXTS[1]}"
    assert lead('"That’s why') == "that's"
    assert lead("38 percent") == "percent"
    assert lead("…") == ""
    assert content_words("The queue is the queue") == ["queue", "queue"]
