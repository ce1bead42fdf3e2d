from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer

from pipeline.errors import ConfigError
from pipeline.insight.rank import ENCODER, VOCABULARY
from pipeline.insight.reading import (
    AHEAD,
    BEFORE,
    BUCKETS,
    MAX_TOKENS,
    VALUES,
    EncoderReader,
    buckets,
    pair,
    tokens_of,
)
from pipeline.records import Passage, Sentence, Transcript
from pipeline.resources import PACKAGE, resource

MODEL = PACKAGE / "data" / ENCODER
WORDS = resource(VOCABULARY)
TEXTS = (
    "Welcome to the show, thanks for being here.",
    "Most teams measure the length of a queue, but the age of its oldest job is what a customer feels.",
    "A long queue of quick jobs makes nobody late, and three stuck ones ruin a morning.",
    "Thank you so much, that was fun.",
)


def talk(*texts: str) -> Transcript:
    return Transcript(
        "en",
        10.0 * len(texts),
        tuple(Sentence(i, 10.0 * i, 10.0 * i + 9, text) for i, text in enumerate(texts)),
        "publisher",
    )


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def tokenizer() -> BertWordPieceTokenizer:
    return BertWordPieceTokenizer(str(WORDS), lowercase=True)


@pytest.fixture(scope="module")
def reader() -> EncoderReader:
    return EncoderReader(MODEL, sha256_of(MODEL), WORDS, sha256_of(WORDS), threads=1)


def test_each_span_gets_its_values_whatever_stands_beside_it(reader: EncoderReader) -> None:
    transcript = talk(*TEXTS)
    spans = [Passage(1, 2), Passage(0, 0), Passage(3, 3)]
    together = reader.read(spans, transcript)
    assert together.shape == (3, VALUES)
    alone = np.vstack([reader.read([span], transcript) for span in spans])
    assert np.array_equal(together, alone)
    assert together[0, 0] == max(together[:, 0])


def test_no_spans_need_no_model(reader: EncoderReader) -> None:
    assert reader.read([], talk(*TEXTS)).shape == (0, VALUES)


def test_the_words_before_count(reader: EncoderReader) -> None:
    transcript = talk(*TEXTS)
    assert not np.array_equal(
        reader.read([Passage(1, 1)], transcript), reader.read([Passage(0, 0)], talk(TEXTS[1], TEXTS[0]))
    )


def test_a_passage_without_end_is_read_to_the_limit(reader: EncoderReader, tokenizer: BertWordPieceTokenizer) -> None:
    transcript = talk(TEXTS[0], "queue " * 5000)
    before, inside = pair(Passage(1, 1), transcript, tokenizer)
    assert len(before) + len(inside) == MAX_TOKENS
    assert np.isfinite(reader.read([Passage(1, 1)], transcript)).all()


def test_text_of_no_known_letters_is_read_too(reader: EncoderReader) -> None:
    assert np.isfinite(reader.read([Passage(0, 0), Passage(1, 1)], talk("\u2603\u2603 \U0001f600", ""))).all()


def test_what_comes_before_is_whole_words_of_at_most_160_characters(tokenizer: BertWordPieceTokenizer) -> None:
    transcript = talk(*(f"Sentence number {i} tells about storage and replication." for i in range(9)))
    before, inside = pair(Passage(8, 8), transcript, tokenizer)
    said = tokenizer.decode(before)
    assert 100 < len(said) <= BEFORE
    assert " ".join(s.text for s in transcript.sentences[:8]).lower().endswith(said)
    assert tokenizer.decode(inside) == "sentence number 8 tells about storage and replication."
    assert pair(Passage(0, 0), transcript, tokenizer)[0] == []


def test_marks_stand_around_both_and_kinds_mark_the_passage_and_its_end() -> None:
    assert tokens_of(([7, 8], [9])) == ([0, 11, 12, 2, 2, 13, 2], [0, 0, 0, 0, 0, 1, 1])
    assert tokens_of(([], [5, 6])) == ([0, 2, 2, 9, 10, 2], [0, 0, 0, 1, 1, 1])


def test_a_word_that_is_too_rare_is_read_in_pieces(tokenizer: BertWordPieceTokenizer) -> None:
    whole = BertWordPieceTokenizer(str(resource("minilm-vocab.txt")), lowercase=True)
    word = "contemporaries"
    assert len(whole.encode(word, add_special_tokens=False).ids) == 1
    pieces = tokenizer.encode(word, add_special_tokens=False).tokens
    assert len(pieces) > 1
    assert "".join(pieces).replace("##", "") == word
    usual = "the age of its oldest job is what a customer feels"
    assert tokenizer.encode(usual).tokens == whole.encode(usual).tokens


def test_near_distances_are_told_apart_one_by_one_and_far_ones_not() -> None:
    found = buckets(MAX_TOKENS + AHEAD)
    assert found[0, 0] == 0
    assert [found[8 - n, 8] for n in range(1, 8)] == [16 + n for n in range(1, 8)]
    assert [found[8, 8 - n] for n in range(1, 8)] == list(range(1, 8))
    assert found[0, 128] == found[0, 200] == BUCKETS - 1
    assert found[128, 0] == found[200, 0] == BUCKETS // 2 - 1
    assert list(found[0]) == sorted(found[0, :1]) + sorted(found[0, 1:])


def test_another_file_is_refused_and_a_missing_one_too(tmp_path: Path) -> None:
    for pins in (("0" * 64, sha256_of(WORDS)), (sha256_of(MODEL), "0" * 64)):
        with pytest.raises(ConfigError, match="not the one that belongs"):
            EncoderReader(MODEL, pins[0], WORDS, pins[1])
    with pytest.raises(ConfigError, match="cannot be read"):
        EncoderReader(tmp_path / "none.onnx.z", "0" * 64, WORDS, sha256_of(WORDS))
    with pytest.raises(ConfigError, match="cannot be read"):
        EncoderReader(MODEL, sha256_of(MODEL), tmp_path / "none.txt", "0" * 64)
