from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.insight.prove import proper_names, prove, proven, quote_of
from pipeline.records import InsightDraft, Sentence, Transcript

TEXTS = (
    "On our busiest Monday we had 40,000 labels waiting and nobody was late.",
    "A van from Kestrel Parcel left without its medicine.",
    "This episode is brought to you by Lanternfish.",
    "Age tells you how late you are.",
)
TRANSCRIPT = Transcript(
    "en",
    40.0,
    tuple(
        Sentence(i, 10.0 * i, 10.0 * i + 9, text, "Owen Tate", "sponsor" if i == 2 else None)
        for i, text in enumerate(TEXTS)
    ),
    "publisher",
)
DRAFT = InsightDraft(
    title="Forty thousand waiting labels made nobody late",
    text="Kestrel Parcel had forty thousand labels waiting and nobody was late, yet a van left without medicine.",
    quote=f"{TEXTS[0]} {TEXTS[1]}",
    evidence=(0, 1),
    first=0,
    last=1,
    start_s=0.0,
    end_s=19.0,
    speaker="Owen Tate",
    score=0.5,
)


def test_a_proven_draft_passes_and_number_words_equal_digits() -> None:
    assert prove(DRAFT, TRANSCRIPT) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": ""}, "shape"),
        ({"title": "word " * 13}, "shape"),
        ({"evidence": ()}, "evidence"),
        ({"evidence": (1, 0)}, "evidence"),
        ({"evidence": (0, 9)}, "evidence"),
        ({"evidence": (0, -1)}, "evidence"),
        ({"quote": TEXTS[0]}, "evidence"),
        ({"quote": DRAFT.quote.replace("40,000", "forty thousand")}, "evidence"),
        ({"evidence": (0, 1, 2), "last": 2, "quote": " ".join(TEXTS[:3])}, "evidence"),
        ({"last": 0}, "evidence"),
        ({"speaker": "Maya Lindgren"}, "evidence"),
        ({"start_s": 5.0}, "evidence"),
        ({"end_s": 12.0}, "evidence"),
        ({"text": "They had 50,000 labels."}, "numbers"),
        ({"title": "Three vans left"}, "numbers"),
        ({"text": "A van of Federal Express left."}, "names"),
        ({"title": "A van left without Aspirin"}, "names"),
    ],
)
def test_what_is_not_proven_is_dropped_with_its_reason(change: dict[str, object], reason: str) -> None:
    dropped = prove(replace(DRAFT, **change), TRANSCRIPT)  # type: ignore[arg-type]
    assert dropped is not None
    assert dropped.reason == reason
    assert dropped.detail.startswith(str(change.get("title", DRAFT.title)))


def test_known_names_need_no_evidence_and_neither_does_the_speaker() -> None:
    named = replace(DRAFT, text="On Slow Software Owen Tate says that nobody was late.")
    assert prove(named, TRANSCRIPT) is not None
    assert prove(named, TRANSCRIPT, known="Slow Software") is None


def test_a_title_in_title_case_claims_no_names() -> None:
    assert prove(replace(DRAFT, title="Waiting Labels Made Nobody Late Today"), TRANSCRIPT) is None


def test_a_quote_shows_where_sentences_are_left_out() -> None:
    assert quote_of(TRANSCRIPT, (0, 1, 3)) == f"{TEXTS[0]} {TEXTS[1]} … {TEXTS[3]}"


def test_proven_sorts_drafts() -> None:
    kept, dropped = proven([DRAFT, replace(DRAFT, quote="made up")], TRANSCRIPT)
    assert kept == (DRAFT,)
    assert [d.reason for d in dropped] == ["evidence"]


def test_names_are_words_with_a_capital_that_no_sentence_start_explains() -> None:
    text = "Satisfied users of PostgreSQL stay. Kestrel Parcel's van, says Owen, left. I agree; GPT-4 does not."
    assert proper_names(text) == {"PostgreSQL", "Kestrel", "Parcel", "Owen", "GPT-4"}
