"""Reads passages with the tuned encoder: each with the words that came just before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from pipeline.errors import ConfigError
from pipeline.insight.embed import open_session
from pipeline.insight.features import text_of
from pipeline.records import Passage, Transcript

Matrix = NDArray[np.float64]

BEFORE = 160
"""Characters of what was said before a passage that are read with it."""
MAX_BEFORE = 48
MAX_TOKENS = 208
"""Tokens of both together; a passage of 85 words has about 110. The rest of a longer one is not read."""
VALUES = 2
"""Numbers a passage: its expected worth, and one that only orders the passages of an episode."""
BATCH = 1
"""int8 activations are scaled by the whole batch: one passage must not move the scores of those it is read with."""
CLS, SEP = 101, 102


class Reader(Protocol):
    """Maps n spans of a transcript to n rows of VALUES numbers."""

    def read(self, spans: Sequence[Passage], transcript: Transcript) -> Matrix:
        """float64 of shape (len(spans), VALUES), in the order of `spans`."""
        ...


class EncoderReader:
    """all-MiniLM-L6-v2 tuned on graded passages, as int8 ONNX (docs/ranker.md)."""

    def __init__(self, model: Path, sha256: str, vocabulary: Path, threads: int | None = None):
        """The model (23 MB) is opened when first read with. Raises ConfigError when `model` is missing or not the file
        with that sha256."""
        try:
            found = hashlib.sha256(model.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigError(
                "The ranker's encoder cannot be read", hint="install podsift again", file=model
            ) from error
        if found != sha256:
            raise ConfigError(
                "The ranker's encoder is not the one that belongs to ranker.json",
                why="its sha256 differs from the pinned one",
                hint="install podsift again, or train both with `python -m bench.train_ranker`",
                file=model,
            )
        self._model, self._threads = model, threads
        self._tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)

    @cached_property
    def _session(self) -> Any:
        return open_session(self._model, self._threads)

    def read(self, spans: Sequence[Passage], transcript: Transcript) -> Matrix:
        pairs = [pair(span, transcript, self._tokenizer) for span in spans]
        values = np.zeros((len(pairs), VALUES))
        # Neighbours in length share a batch, so that little is padding.
        order = sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            ids, mask, kind = batch_of([pairs[i] for i in rows])
            (found,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": kind})
            values[rows] = found
        return values


Pair = tuple[list[int], list[int]]
"""Token ids of the words before a passage, and of the passage."""


def pair(span: Passage, transcript: Transcript, tokenizer: BertWordPieceTokenizer) -> Pair:
    """A span and the whole words among the BEFORE characters in front of it, as tokens without marks."""
    before, number = "", span.first - 1
    while number >= 0 and len(before) <= BEFORE:
        before = f"{transcript.sentences[number].text} {before}".strip()
        number -= 1
    if len(before) > BEFORE:
        before = before[-BEFORE:].partition(" ")[2]
    left = tokenizer.encode(before, add_special_tokens=False).ids[-MAX_BEFORE:]
    text = text_of(transcript, span.first, span.last)
    return left, tokenizer.encode(text, add_special_tokens=False).ids[: MAX_TOKENS - 3 - len(left)]


def batch_of(pairs: Sequence[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Ids, mask and kind (1 for the passage), each of shape (len(pairs), longest)."""
    width = max(len(before) + len(inside) + 3 for before, inside in pairs)
    ids, mask, kind = (np.zeros((len(pairs), width), dtype=np.int64) for _ in range(3))
    for row, (before, inside) in enumerate(pairs):
        tokens = [CLS, *before, SEP, *inside, SEP]
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        kind[row, len(before) + 2 : len(tokens)] = 1
    return ids, mask, kind
