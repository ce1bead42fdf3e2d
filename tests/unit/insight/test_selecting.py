from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import weights
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.excerpt import MAX_WORDS, MIN_WORDS
from pipeline.insight.find import findings_json
from pipeline.insight.opening import begun, opening
from pipeline.insight.passage import words
from pipeline.insight.prove import prove
from pipeline.insight.rank import Ranker
from pipeline.insight.selecting import MOST, SelectingWriter
from pipeline.records import EpisodeContext, Findings, Sentence, Transcript
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
            left_out = opening(pick.quote)
            assert pick.text == begun(pick.quote[left_out:])
            assert pick.quote in " ".join(s["text"] for s in episode["segments"])
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
