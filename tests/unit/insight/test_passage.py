from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.insight.passage import MAX_WORDS, passages, words
from pipeline.records import Sentence, Transcript

SHARED = Path(__file__).resolve().parents[3] / "../shared"


def transcript(*sentences: Sentence) -> Transcript:
    return Transcript("en", sentences[-1].end if sentences else 0.0, sentences, "publisher")


def talk(
    sizes: list[int], speakers: list[str | None] | None = None, marks: list[str | None] | None = None
) -> Transcript:
    return transcript(
        *(
            Sentence(i, 2.0 * i, 2.0 * i + 1.9, " ".join(["word"] * size) + ".", (speakers or [None] * 99)[i], mark)
            for i, (size, mark) in enumerate(zip(sizes, marks or [None] * len(sizes), strict=True))
        )
    )


def cut(found: Transcript) -> list[tuple[int, int]]:
    return [(p.first, p.last) for p in passages(found)]


def test_a_window_closes_before_it_passes_85_words() -> None:
    assert cut(talk([40, 40, 10, 30])) == [(0, 1), (2, 3)]


def test_a_sentence_that_is_longer_stands_alone() -> None:
    assert cut(talk([10, 120, 10])) == [(0, 0), (1, 1), (2, 2)]


def test_a_change_of_speaker_closes_a_window_of_20_words_and_not_a_shorter_one() -> None:
    assert cut(talk([20, 20], ["A", "B"])) == [(0, 0), (1, 1)]
    assert cut(talk([19, 20], ["A", "B"])) == [(0, 1)]


def test_a_question_closes_a_window_only_where_no_speaker_is_known() -> None:
    asked = Sentence(0, 0.0, 5.0, " ".join(["why"] * 25) + "?")
    answer = Sentence(1, 5.1, 9.0, "Because it is so.")
    assert cut(transcript(asked, answer)) == [(0, 0), (1, 1)]
    named = [Sentence(s.number, s.start, s.end, s.text, "A") for s in (asked, answer)]
    assert cut(transcript(*named)) == [(0, 1)]


def test_sponsor_reads_are_in_no_passage_and_no_passage_reaches_across_one() -> None:
    assert cut(talk([10, 10, 10, 10], marks=[None, "sponsor", None, None])) == [(0, 0), (2, 3)]


def test_a_long_silence_is_a_cut() -> None:
    assert cut(transcript(Sentence(0, 0, 1, "Some words."), Sentence(1, 5.2, 6, "Others."))) == [(0, 0), (1, 1)]


def test_nothing_gives_nothing() -> None:
    assert passages(transcript()) == ()
    assert cut(talk([5], marks=["sponsor"])) == []


@given(st.lists(st.tuples(st.integers(1, 120), st.sampled_from(["A", "B", None]), st.booleans()), max_size=60))
def test_each_unmarked_sentence_is_in_exactly_one_passage(rows: list[tuple[int, str | None, bool]]) -> None:
    found = talk([r[0] for r in rows], [r[1] for r in rows], ["sponsor" if r[2] else None for r in rows])
    covered = [n for p in passages(found) for n in range(p.first, p.last + 1)]
    assert covered == [s.number for s in found.sentences if s.mark is None]
    for passage in passages(found):
        inside = found.sentences[passage.first : passage.last + 1]
        assert len(inside) == 1 or sum(words(s.text) for s in inside) <= MAX_WORDS


@pytest.mark.skipif(not SHARED.exists(), reason="the graded episodes (../shared) are not on this machine")
def test_it_cuts_as_the_graders_did() -> None:
    for path in sorted((SHARED / "gold").glob("practical-ai-1*.json")):
        segments = json.loads((SHARED / "transcripts" / path.name).read_text("utf-8"))["segments"]
        episode = transcript(
            *(Sentence(i, s["startTime"], s["endTime"], s["body"], s.get("speaker")) for i, s in enumerate(segments))
        )
        assert [list(pair) for pair in cut(episode)] == json.loads(path.read_text("utf-8"))["spans"], path.name
