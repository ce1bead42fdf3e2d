"""Reads passages with the tuned encoder: each with the words that came just before it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from pipeline.errors import ConfigError
from pipeline.insight.embed import cores, open_session
from pipeline.insight.features import text_of
from pipeline.records import Passage, Transcript

Matrix = NDArray[np.float64]

BEFORE = 160
"""Characters of what was said before a passage that are read with it."""
MAX_BEFORE = 48
MAX_TOKENS = 205
"""Tokens of both together; a passage of 85 words has about 110. The rest of a longer one is not read."""
VALUES = 2
"""Numbers a passage: its expected worth, and one that only orders the passages of an episode."""
BEGIN, PAD, END = 0, 1, 2
AHEAD = 4
"""MPNet's own marks come before the words of the vocabulary."""
BUCKETS, NEAR, FAR = 32, 8, 128
"""Distances of two tokens, half of the buckets for each direction: one by one up to NEAR, then wider up to FAR."""


class Reader(Protocol):
    """Maps n spans of a transcript to n rows of VALUES numbers."""

    def read(self, spans: Sequence[Passage], transcript: Transcript) -> Matrix:
        """float64 of shape (len(spans), VALUES), in the order of `spans`."""
        ...


class EncoderReader:
    """all-mpnet-base-v2 tuned on graded passages, as int8 ONNX in a Huffman code (docs/ranker.md)."""

    def __init__(self, model: Path, sha256: str, vocabulary: Path, vocabulary_sha256: str, threads: int | None = None):
        """The model (30 MB, 98 in memory) is opened when first read with. Raises ConfigError when a file is missing
        or not the one with that sha256. `threads` defaults to the cores at hand."""
        _check(model, sha256)
        # Another vocabulary would give each word another's meaning, and no error.
        _check(vocabulary, vocabulary_sha256)
        self._model, self._threads = model, threads
        self._tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)

    @cached_property
    def _session(self) -> Any:
        # Passages are small: a thread for each keeps the cores busier than all threads on one.
        return open_session(zlib.decompress(self._model.read_bytes()), threads=1)

    def read(self, spans: Sequence[Passage], transcript: Transcript) -> Matrix:
        if not spans:
            return np.zeros((0, VALUES))
        pairs = [pair(span, transcript, self._tokenizer) for span in spans]
        session = self._session
        with ThreadPoolExecutor(self._threads or cores()) as pool:
            return np.vstack([*pool.map(lambda read: _values(session, read), pairs)])


def _check(file: Path, sha256: str) -> None:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError("The ranker's encoder cannot be read", hint="install podsift again", file=file) from error
    if found != sha256:
        raise ConfigError(
            "The ranker's encoder is not the one that belongs to ranker.json",
            why="its sha256 differs from the pinned one",
            hint="install podsift again, or train both with `python -m bench.train_ranker`",
            file=file,
        )


def _values(session: Any, read: Pair) -> Matrix:
    ids, kind = tokens_of(read)
    given = {"input_ids": np.array(ids), "kind": np.array(kind), "apart": buckets(len(ids))}
    (found,) = session.run(None, given)
    return np.asarray(found, dtype=np.float64)


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
    return left, tokenizer.encode(text, add_special_tokens=False).ids[: MAX_TOKENS - len(left)]


def tokens_of(read: Pair) -> tuple[list[int], list[int]]:
    """The encoder's ids of a pair with its marks, and for each 1 where it belongs to the passage."""
    before, inside = read
    ids = [BEGIN, *(t + AHEAD for t in before), END, END, *(t + AHEAD for t in inside), END]
    own = len(inside) + 1
    return ids, [0] * (len(ids) - own) + [1] * own


def buckets(size: int) -> NDArray[np.int64]:
    """In which of BUCKETS the distance between two of `size` tokens falls, shape (size, size), as MPNet has it."""
    at = np.arange(size)
    steps = at[None, :] - at[:, None]
    away = np.abs(steps)
    wide = NEAR + (np.log(np.maximum(away, 1) / NEAR) / np.log(FAR / NEAR) * (BUCKETS // 2 - NEAR)).astype(np.int64)
    within = np.where(away < NEAR, away, np.minimum(wide, BUCKETS // 2 - 1))
    found: NDArray[np.int64] = np.where(steps > 0, BUCKETS // 2, 0) + within
    return found
