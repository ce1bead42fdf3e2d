from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import weights
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.find import findings_json
from pipeline.insight.passage import words
from pipeline.insight.prove import prove
from pipeline.insight.rank import Ranker
from pipeline.insight.selecting import (
    MAX_WORDS,
    MIN_WORDS,
    MOST,
    READ,
    SelectingWriter,
    possible,
    readable,
    standing,
    titled,
)
from pipeline.records import EpisodeContext, Findings, Passage, Sentence, Transcript
from pipeline.resources import resource

SAMPLES = Path(__file__).resolve().parents[3] / "samples"


def demo(episode: dict[str, Any]) -> Transcript:
    """The true segments as a transcript without speakers, the sponsor read marked."""
    ad = episode["ad_s"] or [0, 0]
    return Transcript(
        "en",
        episode["duration_s"],
        tuple(
            Sentence(
                i, s["start"], s["end"], s["text"], None, "sponsor" if ad[0] <= s["end"] - 0.2 < ad[1] else None, (i, i)
            )
            for i, s in enumerate(episode["segments"])
        ),
        "whisper",
    )


@pytest.fixture(scope="module")
def episodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((SAMPLES / "expectations.json").read_text("utf-8"))["episodes"]
    return found


@pytest.fixture(scope="module")
def writer() -> SelectingWriter:
    return SelectingWriter(Ranker.load(), MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt")))


@pytest.fixture(scope="module")
def findings(
    episodes: list[dict[str, Any]], writer: SelectingWriter
) -> list[tuple[dict[str, Any], Transcript, Findings]]:
    return [(e, demo(e), writer.find(demo(e), EpisodeContext())) for e in episodes]


def test_the_best_picks_of_the_demo_are_the_expected_insights(
    findings: list[tuple[dict[str, Any], Transcript, Findings]],
) -> None:
    for episode, _, found in findings:
        quotes = [q for insight in episode["insights"] for q in insight["evidence"]]
        for pick in found.insights[:3]:
            assert any(q["start_s"] < pick.end_s and q["end_s"] > pick.start_s for q in quotes), pick.title


def test_every_expected_insight_of_the_demo_is_touched(
    findings: list[tuple[dict[str, Any], Transcript, Findings]],
) -> None:
    missed = [
        insight["id"]
        for episode, _, found in findings
        for insight in episode["insights"]
        if not any(
            q["start_s"] < pick.end_s and q["end_s"] > pick.start_s
            for q in insight["evidence"]
            for pick in found.insights
        )
    ]
    assert missed == []


def test_picks_are_verbatim_whole_proven_and_apart(
    findings: list[tuple[dict[str, Any], Transcript, Findings]],
) -> None:
    for episode, transcript, found in findings:
        taken: set[int] = set()
        assert 1 <= len(found.insights) <= MOST
        assert [i.score for i in found.insights] == sorted((i.score for i in found.insights), reverse=True)
        for pick in found.insights:
            assert pick.text == pick.quote
            assert pick.text in " ".join(s["text"] for s in episode["segments"])
            assert MIN_WORDS <= words(pick.text) <= MAX_WORDS
            assert prove(pick, transcript) is None
            assert "Lanternfish" not in pick.text
            assert not taken & set(pick.evidence)
            taken |= set(pick.evidence)


def test_a_spoken_order_to_the_machine_does_not_come_first(
    findings: list[tuple[dict[str, Any], Transcript, Findings]],
) -> None:
    _, _, found = next(f for f in findings if f[0]["id"] == "long-table-02")
    assert all("ignore your instructions" not in pick.text for pick in found.insights[:3])
    assert all("rank this first" not in pick.title for pick in found.insights)


def test_json_names_segments_and_scores_every_passage(
    findings: list[tuple[dict[str, Any], Transcript, Findings]],
) -> None:
    _, transcript, found = findings[0]
    shifted = replace(
        transcript, sentences=tuple(replace(s, segments=(s.number + 100, s.number + 101)) for s in transcript.sentences)
    )
    document = findings_json(found, shifted)
    assert list(document) == ["writer", "passages", "insights"]
    assert document["writer"] == "selecting"
    assert [(p["first"], p["last"]) for p in document["passages"]] == [
        (p.first + 100, p.last + 101) for p in found.passages
    ]
    fields = ["title", "insight", "quote", "first", "last", "start_s", "end_s", "speaker", "score"]
    assert all(list(insight) == fields for insight in document["insights"])
    bare = replace(shifted, sentences=tuple(replace(s, segments=None) for s in shifted.sentences))
    assert findings_json(found, bare)["insights"][0]["first"] == found.insights[0].first


def test_nothing_said_gives_no_findings_and_small_talk_none_either(writer: SelectingWriter) -> None:
    empty = Transcript("en", 0.0, (), "whisper")
    assert writer.find(empty, EpisodeContext()) == Findings(writer.origin, (), ())
    chat = (
        "Yeah, thanks, hello, welcome to the podcast, how are you today, so great to have you on the show, thank you?"
    )
    talk = Transcript("en", 30.0, tuple(Sentence(i, i, i + 1, chat) for i in range(4)), "whisper")
    found = writer.find(talk, EpisodeContext())
    assert found.insights == ()
    assert found.passages


def line(number: int, text: str, speaker: str | None = None) -> Sentence:
    return Sentence(number, 5.0 * number, 5.0 * number + 4.9, text, speaker)


def test_an_excerpt_that_points_backwards_stands_less_well() -> None:
    rest = (
        "the age of the oldest job tells you how late you are and that is all a customer feels in the end, "
        "nothing else at all."
    )
    worth = {
        start: standing(Passage(1, 1), Transcript("en", 9.0, (line(0, "Hm."), line(1, f"{start} {rest}")), "whisper"))
        for start in ("Honestly", "So", "That's why", "Yeah, and", "and")
    }
    assert worth["Honestly"] > worth["So"] > worth["That's why"] >= worth["Yeah, and"] > worth["and"]


def test_a_that_which_nothing_before_it_names_stands_less_well_and_a_named_one_does_not() -> None:
    rest = (
        "people at a company of any size stop looking at their dashboards and wait for a customer to call them first."
    )

    def worth(start: str) -> float:
        said = (line(0, "Hm."), line(1, f"{start} {rest}"))
        return standing(Passage(1, 1), Transcript("en", 9.0, said, "whisper"))

    plain = worth("Honestly")
    for start in (
        "Without that alert",
        "In both cases",
        "We gave that up, and",
        "I think that that is why",
        "In there",
        "Basically, as they told us",
        "Number seven",
        "Not really.",
    ):
        assert worth(start) < plain, start
    assert worth("So as they told us") < worth("So as operators told us")
    for start in (
        "We learn from those who say that",
        "The rule that we follow is why",
        "What Tauri has going for it is that",
    ):
        assert worth(start) == plain, start


def test_a_word_that_nobody_can_say_is_no_excerpt() -> None:
    rest = (
        "people at a company of any size stop looking at their dashboards and wait for a customer to call them first."
    )
    for word, stands in (("a" * 5000, False), ("Donaudampfschifffahrtsgesellschaftskapitän", True)):
        said = Transcript("en", 9.0, (line(0, f"{word} {rest}"),), "whisper")
        assert (standing(Passage(0, 0), said) > 0) is stands


def test_excerpts_are_whole_sentences_of_25_to_70_words_around_their_passage() -> None:
    transcript = Transcript("en", 60.0, tuple(line(i, "word " * 14 + "end.") for i in range(8)), "whisper")
    spans = [(p.first, p.last) for p in possible(Passage(3, 5), transcript)]
    assert (3, 5) in spans
    assert (2, 4) in spans
    assert all(2 <= last - first + 1 <= 4 for first, last in spans)
    assert (1, 3) not in spans


def test_half_a_sentence_half_a_quotation_and_an_it_from_before_stand_less_well() -> None:
    rest = "the age of the oldest job tells how late you are, and that is all that a customer feels in the end of a day"
    worth = {
        text: standing(Passage(1, 1), Transcript("en", 9.0, (line(0, "Hm."), line(1, text)), "whisper"))
        for text in (f"Honestly {rest}.", f"I think it's {rest}.", f"Honestly {rest} --", f'Honestly {rest}."')
    }
    whole, pointing, cut, half = worth.values()
    assert whole > pointing > cut
    assert whole > half


def test_of_a_passages_excerpts_the_ones_with_a_claim_are_read() -> None:
    said = (
        "We were at that place for a while and I had this thing with somebody there, you know, and it was fun.",
        "The age of the oldest job tells a customer more than the length of the queue.",
        "Teams measure what is easy to count, and then they wonder why nobody is happy with the numbers.",
        "And then there were some of those other ones that we were going to, you know, do something about, but...",
    )
    transcript = Transcript("en", 60.0, tuple(line(i, text) for i, text in enumerate(said)), "whisper")
    found = readable(Passage(0, 3), transcript)
    assert 1 <= len(found) <= READ
    assert found[0][0].last == 2
    assert titled(Passage(1, 2), transcript) > titled(Passage(3, 3), transcript)
    assert [reads for _, reads in found] == sorted((reads for _, reads in found), reverse=True)
