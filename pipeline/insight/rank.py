"""Scores passages: how likely a careful reader would call each an insight.

A ridge regression on hand features and the passage's embedding, distilled from grades that a large model gave whole
transcripts (docs/ranker.md). It was the best that needs no training framework and ranks two hours of talk in seconds.
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
from pipeline.records import Passage, Transcript
from pipeline.resources import resource

Matrix = NDArray[np.float64]
Row = NDArray[np.float64]

EXTRA = ("centrality", "continuity")
"""Cosine to the episode's mean passage, and to the mean of the two neighbours."""


def inputs(hand: Matrix, vectors: Vectors, episode: Vectors | None = None) -> Matrix:
    """Columns of the regression: hand features, EXTRA, embedding; NaN is unknown.

    `vectors` are the passages of one episode in order; or else any spans of it, and `episode` its passages.
    """
    rows = vectors.astype(np.float64)
    middle = (rows if episode is None else episode.astype(np.float64)).mean(axis=0)
    middle /= max(1e-9, float(np.linalg.norm(middle)))
    continuity = np.full(len(rows), np.nan)
    if episode is None:
        around = np.zeros_like(rows)
        around[1:] += rows[:-1]
        around[:-1] += rows[1:]
        continuity = (rows * around).sum(axis=1) / 2
    return np.hstack([hand, (rows @ middle)[:, None], continuity[:, None], rows])


@dataclass(frozen=True)
class Ranker:
    """Weights of one training run. All arrays have one entry a column of `inputs`."""

    version: str
    embedder: str
    centre: Row
    weight: Row
    """Already divided by each column's spread."""
    intercept: float
    slope: float
    offset: float
    """score = 1 / (1 + exp(-(slope * value + offset))): the share of grades 3 and 4 at that value, out of fold."""

    @classmethod
    def load(cls, path: Path | None = None) -> Ranker:
        """The shipped ranker, or one from `path`. Raises ConfigError when the file does not fit this version."""
        source = path or resource("ranker.json")
        try:
            document: dict[str, Any] = json.loads(source.read_text("utf-8"))
            columns = [name for name, _, _ in document["columns"]]
            if columns != list(features.NAMES) + list(EXTRA):
                raise ValueError("its features are not those of this version")
            pairs = [(centre, weight) for _, centre, weight in document["columns"]] + document["embedding"]
            centre, weight = np.array(pairs, dtype=np.float64).T
            return cls(
                document["version"],
                document["embedder"],
                centre,
                weight,
                float(document["intercept"]),
                float(document["slope"]),
                float(document["offset"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                "The passage ranker cannot be read",
                hint="install podsift again, or train it with `python bench/train_ranker.py`",
                file=source,
            ) from error

    def score(self, passages: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> tuple[Passage, ...]:
        """Every passage of one episode with its score 0..1, in the order given; comparable across episodes.

        Raises ConfigError when `embedder` is not the model that the weights were trained on.
        """
        return self.scored(passages, transcript, self.vectors(passages, transcript, embedder))

    def vectors(self, passages: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> Vectors:
        """The passages' embeddings, shape (len(passages), dimensions)."""
        if embedder.name != self.embedder:
            raise ConfigError(
                "The passage ranker and the embedding model do not belong together",
                why=f"the ranker was trained on {self.embedder}",
                hint="use the embedding model that podsift ships with",
                embedder=embedder.name,
            )
        return embedder.embed([features.text_of(transcript, p.first, p.last) for p in passages])

    def scored(
        self, passages: Sequence[Passage], transcript: Transcript, vectors: Vectors, episode: Vectors | None = None
    ) -> tuple[Passage, ...]:
        """`score` for embeddings at hand. Spans that are not the episode's passages in order are compared with
        `episode`, the vectors of those passages."""
        if not passages:
            return ()
        columns = inputs(features.matrix(passages, transcript), vectors, episode)
        # An unknown feature counts as an average one.
        centred = np.nan_to_num(columns - self.centre, nan=0.0)
        value = centred @ self.weight + self.intercept
        # Text far from talk (a table read out, another language) can lie far outside of what was graded.
        chance = 1.0 / (1.0 + np.exp(-np.clip(self.slope * value + self.offset, -30.0, 30.0)))
        return tuple(replace(p, score=round(float(c), 6)) for p, c in zip(passages, chance, strict=True))
