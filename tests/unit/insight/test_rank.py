from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import weights
from pipeline.errors import ConfigError
from pipeline.insight import features
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.passage import passages
from pipeline.insight.rank import ENCODER, READ, VOCABULARY, Matrix, Ranker
from pipeline.records import Passage, Sentence, Transcript
from pipeline.resources import PACKAGE, resource
from tests.fakes.embedder import WordEmbedder

SHARED = Path(__file__).resolve().parents[3] / "../shared"
TALK = Transcript(
    "en",
    60.0,
    tuple(
        Sentence(i, 10.0 * i, 10.0 * i + 9, text)
        for i, text in enumerate(
            (
                "Welcome to the show, thanks for being here, how are you today? It is so great to have you on, really.",
                "Most teams measure the length of a queue, but the age of its oldest job is what a customer feels, "
                "because a long queue of quick jobs makes nobody late while three stuck ones ruin a morning.",
                "Thank you so much, that was fun. Bye everybody, check out the website and subscribe to the podcast.",
            )
        )
    ),
    "publisher",
)
ALONE = [Passage(i, i) for i in range(3)]


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    return MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"), threads=1)


def test_every_passage_gets_a_score_in_order_and_an_insight_a_higher_one_than_greetings(
    embedder: MiniLmEmbedder,
) -> None:
    scored = Ranker.load().score(ALONE, TALK, embedder)
    assert [(p.first, p.last) for p in scored] == [(0, 0), (1, 1), (2, 2)]
    assert all(0 <= p.score <= 1 for p in scored)
    assert scored[1].score > max(scored[0].score, scored[2].score)


def test_no_passages_need_no_model_run_at_all() -> None:
    assert Ranker.load().score([], TALK, WordEmbedder()) == ()


class Noting:
    """A Reader that says how often it was asked for what."""

    def __init__(self, values: tuple[float, float]):
        self.values = values
        self.asked: list[Passage] = []

    def read(self, spans: Sequence[Passage], transcript: Transcript) -> Matrix:
        self.asked += spans
        return np.tile(self.values, (len(spans), 1))


def test_a_greeting_is_not_read_and_what_was_read_has_its_own_score() -> None:
    reader = Noting((9.0, 9.0))
    ranker = replace(Ranker.load(), reader=reader)
    scored = ranker.score(ALONE, TALK, WordEmbedder())
    assert reader.asked == [ALONE[1]]
    assert [p.score > 0.9 for p in scored] == [False, True, False]
    # What is not read counts as such passages do on average, whatever the encoder would have said.
    assert ranker.score(ALONE[:1], TALK, WordEmbedder()) == scored[:1]


def test_a_ranker_without_a_screen_reads_everything() -> None:
    reader = Noting((0.0, 0.0))
    replace(Ranker.load(), reader=reader, least=-9.0, sure=-8.0).score(ALONE, TALK, WordEmbedder())
    assert reader.asked == ALONE


def test_unknown_speakers_count_as_average() -> None:
    ranker = Ranker.load()
    one_voice = replace(TALK, sentences=tuple(replace(s, speaker="Owen") for s in TALK.sentences))
    for found in (TALK, one_voice):
        assert all(np.isfinite(p.score) for p in ranker.score(ALONE, found, WordEmbedder()))


def test_vectors_of_another_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not belong together"):
        Ranker.load().score(ALONE, TALK, WordEmbedder("another"))


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"columns": [["other", 0, 0, 0]]}'])
def test_a_file_of_another_version_is_refused(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "ranker.json"
    path.write_text(broken, "utf-8")
    with pytest.raises(ConfigError, match="ranker cannot be read"):
        Ranker.load(path)


def test_the_shipped_ranker_and_its_encoder_belong_together_and_are_small(tmp_path: Path) -> None:
    data = PACKAGE / "data"
    document = json.loads((data / "ranker.json").read_text("utf-8"))
    assert [name for name, *_ in document["columns"]] == [*features.NAMES, *READ]
    assert sum((data / name).stat().st_size for name in (ENCODER, VOCABULARY, "ranker.json")) <= 30_000_000
    path = tmp_path / "ranker.json"
    for pin in ("encoder_sha256", "vocabulary_sha256"):
        path.write_text(json.dumps(document | {pin: "0" * 64}), "utf-8")
        with pytest.raises(ConfigError, match="not the one that belongs"):
            Ranker.load(path)


@pytest.mark.skipif(not SHARED.exists(), reason="the graded episodes (../shared) are not on this machine")
def test_the_shipped_weights_order_graded_passages(embedder: MiniLmEmbedder) -> None:
    """In sample, so only a guard against weights and features that drifted apart; docs/ranker.md has the figures."""
    ranked, longest = [], []
    for name in ("brain-science-34", "practical-ai-48"):
        segments = json.loads((SHARED / f"transcripts/{name}.json").read_text("utf-8"))["segments"]
        sentences = tuple(
            Sentence(i, s["startTime"], s["endTime"], s["body"], s.get("speaker")) for i, s in enumerate(segments)
        )
        found = Transcript("en", sentences[-1].end, sentences, "publisher")
        grades = np.array(json.loads((SHARED / f"gold/{name}.json").read_text("utf-8"))["grades"])
        cut = passages(found)
        scores = np.array([p.score for p in Ranker.load().score(cut, found, embedder)])
        sizes = np.array([sum(len(s.text) for s in sentences[p.first : p.last + 1]) for p in cut])
        ranked.append(float(np.corrcoef(scores, grades)[0, 1]))
        longest.append(float(np.corrcoef(sizes, grades)[0, 1]))
    assert np.mean(ranked) > np.mean(longest) + 0.1
