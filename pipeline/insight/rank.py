"""Scores passages: how likely a careful reader would call each an insight.

An encoder that was tuned on grades of a large model reads each passage with the words before it; a ridge regression
weighs what it says with what can be counted (docs/ranker.md). Passages that nothing counted speaks for are not read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.insight import features
from pipeline.insight.embed import Embedder, Vectors
from pipeline.insight.reading import EncoderReader, Reader
from pipeline.records import Passage, Transcript
from pipeline.resources import PACKAGE, resource

Matrix = NDArray[np.float64]
Row = NDArray[np.float64]

READ = ("worth", "order")
"""What the encoder says of a passage: its gain, and a value that only orders the passages of an episode."""
ENCODER, VOCABULARY = "ranker.onnx.z", "ranker-vocab.txt"


@dataclass(frozen=True)
class Ranker:
    """Weights of one training run. All arrays have one entry a hand feature and one a READ column."""

    version: str
    embedder: str
    """Of the vectors that `vectors` gives; the scores need none."""
    centre: Row
    weight: Row
    """Already divided by each column's spread."""
    intercept: float
    slope: float
    offset: float
    """score = 1 / (1 + exp(-(slope * value + offset))): the share of grades 3 and 4 at that value, out of fold."""
    screen: Row
    """Weights of the hand features alone, 0 for READ."""
    least: float
    """A passage below this by the screen's weights is not read: a quarter of them is, with few insights in it."""
    sure: float
    """From `least` up to this, what the encoder says counts more and more: no passage leaps at a border."""
    unread: Row
    """What the encoder says on average of such passages, one entry a READ column."""
    reader: Reader

    @classmethod
    def load(cls, path: Path | None = None) -> Ranker:
        """The shipped ranker, or one from `path`. Raises ConfigError when the file does not fit this version, or the
        encoder that it names is missing or another one."""
        source = path or resource("ranker.json")
        try:
            document: dict[str, Any] = json.loads(source.read_text("utf-8"))
            columns = [name for name, *_ in document["columns"]]
            if columns != [*features.NAMES, *READ]:
                raise ValueError("its features are not those of this version")
            centre, weight, screen = np.array([row for _, *row in document["columns"]], dtype=np.float64).T
            return cls(
                document["version"],
                document["embedder"],
                centre,
                weight,
                float(document["intercept"]),
                float(document["slope"]),
                float(document["offset"]),
                screen,
                float(document["least"]),
                float(document["sure"]),
                np.array(document["unread"], dtype=np.float64),
                EncoderReader(
                    PACKAGE / "data" / ENCODER,
                    document["encoder_sha256"],
                    resource(VOCABULARY),
                    document["vocabulary_sha256"],
                ),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                "The passage ranker cannot be read",
                hint="install podsift again, or train it with `python -m bench.train_ranker`",
                file=source,
            ) from error

    def score(self, passages: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> tuple[Passage, ...]:
        """Every span of one episode with its score 0..1, in the order given; comparable across episodes.

        Raises ConfigError when `embedder` is not the model that belongs to the ranker.
        """
        self._check(embedder)
        return self.scored(passages, transcript)

    def vectors(self, passages: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> Vectors:
        """The passages' embeddings, shape (len(passages), dimensions). Raises ConfigError as `score` does."""
        self._check(embedder)
        return embedder.embed([features.text_of(transcript, p.first, p.last) for p in passages])

    def scored(self, passages: Sequence[Passage], transcript: Transcript) -> tuple[Passage, ...]:
        """`score` where no embedding model is at hand."""
        if not passages:
            return ()
        counted = features.matrix(passages, transcript)
        columns = np.hstack([counted, np.tile(self.unread, (len(passages), 1))])
        # An unknown feature counts as an average one.
        screened = np.nan_to_num(columns - self.centre, nan=0.0) @ self.screen
        trust = np.clip((screened - self.least) / (self.sure - self.least), 0.0, 1.0)
        worth_it = np.flatnonzero(trust)
        found = self.reader.read([passages[int(i)] for i in worth_it], transcript)
        columns[worth_it, counted.shape[1] :] += trust[worth_it, None] * (found - self.unread)
        value = np.nan_to_num(columns - self.centre, nan=0.0) @ self.weight + self.intercept
        # Text far from talk (a table read out, another language) can lie far outside of what was graded.
        chance = 1.0 / (1.0 + np.exp(-np.clip(self.slope * value + self.offset, -30.0, 30.0)))
        return tuple(replace(p, score=round(float(c), 6)) for p, c in zip(passages, chance, strict=True))

    def _check(self, embedder: Embedder) -> None:
        if embedder.name != self.embedder:
            raise ConfigError(
                "The passage ranker and the embedding model do not belong together",
                why=f"the ranker belongs to {self.embedder}",
                hint="use the embedding model that podsift ships with",
                embedder=embedder.name,
            )
