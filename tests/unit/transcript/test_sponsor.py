"""Sponsor reads are marked, ordinary talk is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.records import Sentence
from pipeline.transcript import publisher, sponsor
from pipeline.transcript.base import Segment
from pipeline.transcript.segment import sentences_from_segments

ROOT = Path(__file__).resolve().parents[3]
EPISODES = json.loads((ROOT / "samples/expectations.json").read_text("utf-8"))["episodes"]
SHARED = ROOT / "../shared"


def talk(text: str) -> tuple[Sentence, ...]:
    return sentences_from_segments([Segment(0.0, len(text.split()) / 2.6, text)])


@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: str(episode["id"]))
def test_the_demo_shows(episode: dict[str, object]) -> None:
    segments = [Segment(s["start"], s["end"], s["text"], s["speaker"]) for s in episode["segments"]]  # type: ignore[attr-defined]
    marked = [s for s in sponsor.mark(sentences_from_segments(segments)) if s.mark == "sponsor"]
    if episode["ad_s"] is None:
        assert marked == []
    else:
        assert [marked[0].start, marked[-1].end] == episode["ad_s"]
        assert " ".join(s.text for s in marked) == episode["ad_text"]


def test_a_read_without_an_opening_grows_back_to_its_name() -> None:
    found = sponsor.mark(
        talk(
            "The committee met on Monday. My knees hurt until I bought the Fennimore shoes. They are wool on top. "
            "I wore them to a wedding. Go to fennimore dot com slash show for twenty percent off. "
            "Now, back to the committee. It voted on Tuesday."
        )
    )
    assert [s.mark for s in found] == [None, "sponsor", "sponsor", "sponsor", "sponsor", None, None]


@pytest.mark.parametrize(
    "text",
    [
        "You can find me at example dot com. My book is out in May. The site is example dot com again.",
        "Our first product sold for nine dollars, and our free plan was the marketing budget.",
        "The talk was made possible by a grant. It took three months to write.",
        "We will put a link in the show notes. Go to archive.org and look for it.",
    ],
)
def test_plugs_in_talk_are_no_sponsor_reads(text: str) -> None:
    assert sponsor.spans(talk(text)) == []


def test_written_reads_and_near_misses() -> None:
    path = SHARED / "sponsor_reads.json"
    if not path.is_file():
        pytest.skip("the written sponsor reads are not beside this checkout")
    corpus = json.loads(path.read_text("utf-8"))
    assert [read["id"] for read in corpus["near_misses"] if sponsor.spans(talk(read["text"]))] == []
    # 31 of 40 when written; what is not found has no phrase of a read at all (merchandise, a book, a tour).
    assert sum(bool(sponsor.spans(talk(read["text"]))) for read in corpus["reads"]) >= 30


def test_real_talk_is_left_alone() -> None:
    folder = SHARED / "transcripts"
    files = sorted(path for path in folder.glob("*.json") if path.name != "index.json")[:12] if folder.is_dir() else []
    if not files:
        pytest.skip("the corpus of real transcripts is not beside this checkout")
    count = marked = 0
    for path in files:
        sentences = sentences_from_segments(publisher.read(path.read_bytes()))
        count += len(sentences)
        marked += sum(last - first + 1 for first, last in sponsor.spans(sentences))
    # Sponsor reads are cut out of these transcripts.
    assert marked <= count / 500
