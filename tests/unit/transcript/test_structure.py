"""What is marked, as what, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline import weights
from pipeline.errors import WaitingError
from pipeline.insight.advert import AdvertAsker
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.records import Chapter, Sentence
from pipeline.resources import resource
from pipeline.transcript import offers, publisher, repeat, structure
from pipeline.transcript.base import Segment
from pipeline.transcript.segment import sentences_from_segments

SAMPLES = Path(__file__).resolve().parents[3] / "samples"


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    return MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))


def said(*texts: str, each_s: float = 10.0, first_s: float = 0.0) -> list[Sentence]:
    return [Sentence(n, first_s + n * each_s, first_s + (n + 0.9) * each_s, t) for n, t in enumerate(texts)]


def talk(name: str = "long-table-02") -> tuple[Sentence, ...]:
    return sentences_from_segments(publisher.read((SAMPLES / f"{name}.vtt").read_bytes(), type="text/vtt"))


def marks(sentences: Sequence[Sentence]) -> list[str | None]:
    return [s.mark for s in sentences]


def test_chapters_name_what_they_hold() -> None:
    sentences = said(*["We talked about rivers for a while."] * 60)
    chapters = [
        Chapter(0, "Intro"),
        Chapter(30, "Rivers"),
        Chapter(200, "Sponsor: Marrowfield"),
        Chapter(250, "Why sponsors matter to rivers and what they pay for in a very long talk"),
        Chapter(560, "Credits"),
    ]
    found, _ = structure.mark(sentences, duration_s=600.0, chapters=chapters)
    assert marks(found[:3]) == ["intro"] * 3 and found[3].mark is None
    assert marks(found[20:25]) == ["sponsor"] * 5
    # A chapter of five minutes about sponsors is no read.
    assert set(marks(found[25:56])) == {None}
    assert marks(found[56:]) == ["outro"] * 4
    assert found[20].reason == "chapter 'Sponsor: Marrowfield'"


def test_greetings_farewells_and_housekeeping_by_phrase_and_position() -> None:
    texts = ["We looked at the soil."] * 60
    texts[0] = "Welcome to the show about soil."
    texts[1] = "I'm Ann Lee."
    texts[30] = "Welcome to the world of worms, said the guide."
    texts[31] = "If you like this, leave us a review."
    texts[58] = "Thank you for being with us."
    texts[59] = "This episode was produced by Bo Quill."
    found, _ = structure.mark(said(*texts), duration_s=600.0)
    assert marks(found[:2]) == ["intro", "intro"]
    assert (found[30].mark, found[31].mark) == (None, "housekeeping")
    assert marks(found[58:]) == ["outro", "outro"]
    assert {s.mark for s in found[2:30]} == {None}
    assert all(s.reason for s in found if s.mark)


def test_what_an_earlier_episode_said_too_is_marked_with_its_number(embedder: MiniLmEmbedder) -> None:
    jingle = [
        "Somewhere between the harbour and the hills three friends keep a lamp burning for the curious.",
        "Pull up a chair, pour something warm, and let the evening find its own direction with us.",
    ]
    first = talk()
    one, windows = structure.mark(
        [*first[:20], *said(*jingle, first_s=first[19].end), *first[20:]], duration_s=200.0, embedder=embedder
    )
    assert windows is not None and not any("harbour" in s.text and s.mark for s in one)
    other = talk("slow-software-02")
    two = [*other[:15], *said(*jingle, first_s=other[14].end), *other[15:]]
    found, _ = structure.mark(two, duration_s=200.0, embedder=embedder, earlier=repeat.earlier([(7, windows)]))
    repeated = [s for s in found if "same words in episode 7" in (s.reason or "")]
    assert {s.text for s in repeated} >= set(jingle)
    assert len(repeated) <= 5
    # A rerun of the whole episode says nothing about what is a jingle.
    again, _ = structure.mark(one, duration_s=200.0, embedder=embedder, earlier=repeat.earlier([(7, windows)]))
    assert not any("same words" in (s.reason or "") for s in again)


def test_windows_come_back_from_the_database_or_not_at_all(embedder: MiniLmEmbedder) -> None:
    _, packed = structure.mark(talk(), embedder=embedder)
    assert packed is not None
    back = repeat.unpack(packed)
    assert back is not None and back.vectors.shape[1] == 384 and repeat.pack(back) == packed
    assert repeat.earlier([(1, b"w0old"), (2, packed[:-9]), (3, b"")]) == []


MILK = (
    "Tanner's Oat Drink is the milk in my coffee every morning. It froths the way milk does, it keeps for a week in "
    "the door of the fridge, and the oats grow an hour from where I sit. The people at Tanner have been with us from "
    "the start. Look for the green carton, it is creamy, it is made without added sugar, and it is the one I pour."
)
READ = (
    "I have been sleeping badly since the move, and then my brother handed me his Dovetree pillow. "
    "It is filled with buckwheat, it stays cool, and you can take out as much as you like. "
    "They let you try yours for a hundred nights, and they collect it if you hate it. "
    "Have a look at dovetree dot com and tell them that this show sent you."
)


def test_a_read_without_the_usual_phrases_sounds_like_one(embedder: MiniLmEmbedder) -> None:
    sentences = talk()
    read = sentences_from_segments([Segment(sentences[19].end, sentences[19].end + 30, READ)])
    found, _ = structure.mark([*sentences[:20], *read, *sentences[20:]], embedder=embedder)
    assert sum(s.mark == "sponsor" for s in found[20 : 20 + len(read)]) >= 3
    assert sum(s.mark == "sponsor" for s in (*found[:20], *found[20 + len(read) :])) <= 2


def test_a_read_that_asks_for_nothing_is_known_by_its_tie_to_the_show(
    embedder: MiniLmEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = talk()
    read = sentences_from_segments([Segment(sentences[19].end, sentences[19].end + 30, MILK)])

    def marked() -> int:
        found, _ = structure.mark([*sentences[:20], *read, *sentences[20:]], embedder=embedder)
        assert sum(s.mark == "sponsor" for s in (*found[:20], *found[20 + len(read) :])) <= 2
        return sum(s.mark == "sponsor" for s in found[20 : 20 + len(read)])

    assert marked() == len(read)
    monkeypatch.setattr(offers, "TIES", re.compile(r"(?!)"))
    assert marked() == 0


@pytest.mark.parametrize("episode", ["slow-software-01", "long-table-01", "slow-software-02", "long-table-02"])
def test_polished_talk_with_figures_is_no_read(episode: str, embedder: MiniLmEmbedder) -> None:
    told = json.loads((SAMPLES / "expectations.json").read_text("utf-8"))["episodes"]
    e = next(e for e in told if e["id"] == episode)
    segments = [Segment(s["start"], s["end"], s["text"], s["speaker"]) for s in e["segments"]]
    found, _ = structure.mark(sentences_from_segments(segments), duration_s=e["duration_s"], embedder=embedder)
    begin, end = e["ad_s"] or (0.0, 0.0)
    sold = [s for s in found if s.mark == "sponsor"]
    assert all(begin - 0.1 <= s.start < end + 5.0 for s in sold), [s.text for s in sold]
    for insight in e["insights"]:
        for evidence in insight["evidence"]:
            assert not [s for s in found if s.mark and s.text in evidence["quote"]]


def test_a_language_model_is_asked_about_what_is_in_doubt_only(embedder: MiniLmEmbedder) -> None:
    asked: list[str] = []

    def ask(texts: Sequence[str]) -> list[float]:
        asked.extend(texts)
        return [3.0] * len(texts)

    sentences = [*talk(), *talk("slow-software-02")]
    bare, _ = structure.mark(sentences, embedder=embedder)
    found, _ = structure.mark(sentences, embedder=embedder, ask=ask)
    assert len(asked) <= structure.MOST_ASKED
    by_model = [s for s in found if "language model" in (s.reason or "")]
    assert all(any(s.text in text for text in asked) for s in by_model)
    assert {s.text for s in bare if s.mark == "sponsor"}.isdisjoint(s.text for s in by_model)
    denied, _ = structure.mark(sentences, embedder=embedder, ask=lambda texts: [-1.0] * len(texts))
    assert marks(denied) == marks(bare)


def test_a_model_that_is_away_holds_no_transcript_up() -> None:
    class Away:
        async def __aenter__(self) -> object:
            raise WaitingError("the language model is away")

        async def __aexit__(self, *_: object) -> None:
            return None

    assert AdvertAsker(Away)(["one", "two"]) == [0.0, 0.0]  # type: ignore[arg-type]
