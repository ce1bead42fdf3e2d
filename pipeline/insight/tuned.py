"""The shipped ranker with a head that was trained at home, on what the served model found (`podsift rank distill`).

The head is added to the shipped ranker's log odds: a ridge regression on the hand features and the passage's embedding
that may only say where the shipped ranker errs. It belongs to one version of it, and is left alone after an upgrade.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.insight import features
from pipeline.insight.embed import Embedder, Vectors
from pipeline.insight.rank import Ranker
from pipeline.records import Passage, Transcript

log = logging.getLogger(__name__)
FILE = "tuned-ranker.json"
"""Its name in the data folder."""
EDGE = 1e-6
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Head:
    """`centre` and `weight` have one entry a hand feature and a number of the embedding; a NaN counts as the centre."""

    base: str
    """Version of the ranker that it was trained on."""
    model: str
    """Whose insights it was trained on."""
    made: str
    """The UTC day, as 2026-11-24."""
    episodes: int
    centre: tuple[float, ...]
    weight: tuple[float, ...]
    trust: float
    """Weight of the shipped ranker's log odds."""
    intercept: float
    slope: float
    offset: float
    """score = 1 / (1 + exp(-(slope * value + offset))): the share of passages that the model makes an insight of."""

    def values(self, shipped: Array, columns: Array) -> Array:
        """What the head says of passages with these shipped scores, shape (n,), and columns, shape (n, columns)."""
        own = np.nan_to_num(columns - np.array(self.centre)) @ np.array(self.weight)
        return np.asarray(own + self.trust * log_odds(shipped) + self.intercept)

    def scores(self, shipped: Array, columns: Array) -> Array:
        """The same as scores 0..1."""
        inside = np.clip(self.slope * self.values(shipped, columns) + self.offset, -30.0, 30.0)
        return np.asarray(1.0 / (1.0 + np.exp(-inside)))

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(asdict(self)), "utf-8")
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Head | None:
        """The head in a file; None when there is none. Raises ValueError for a file that is none of ours."""
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            numbers = {k: tuple(float(x) for x in found[k]) for k in ("centre", "weight")}
            head = cls(**{**found, **numbers})
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise ValueError(f"{path} is no ranker that podsift rank distill made") from e
        if len(head.centre) != len(head.weight) or not np.isfinite([*head.centre, *head.weight]).all():
            raise ValueError(f"{path} is damaged")
        return head


def log_odds(scores: Array) -> Array:
    """Of scores 0..1, bounded."""
    inside = np.clip(scores, EDGE, 1 - EDGE)
    return np.asarray(np.log(inside / (1 - inside)))


def columns_of(passages: Sequence[Passage], transcript: Transcript, vectors: Vectors) -> Array:
    """What a head weighs: hand features and embedding, shape (len(passages), features + dimensions)."""
    return np.hstack([features.matrix(passages, transcript), vectors.astype(np.float64)])


class TunedRanker:
    """A Ranker with a head; see Ranker."""

    def __init__(self, shipped: Ranker, head: Head):
        self._shipped, self._head = shipped, head

    @property
    def version(self) -> str:
        return f"{self._shipped.version}, tuned {self._head.made}"

    @property
    def embedder(self) -> str:
        return self._shipped.embedder

    def vectors(self, passages: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> Vectors:
        return self._shipped.vectors(passages, transcript, embedder)

    def score(self, passages: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> tuple[Passage, ...]:
        return self.scored(passages, transcript, self.vectors(passages, transcript, embedder))

    def scored(self, passages: Sequence[Passage], transcript: Transcript, vectors: Vectors) -> tuple[Passage, ...]:
        if not passages:
            return ()
        shipped = self._shipped.scored(passages, transcript)
        found = self._head.scores(np.array([p.score for p in shipped]), columns_of(passages, transcript, vectors))
        return tuple(replace(p, score=round(float(s), 6)) for p, s in zip(passages, found, strict=True))


def tuned(shipped: Ranker, path: Path | None) -> Ranker | TunedRanker:
    """The shipped ranker with the head at `path`, or without, when there is none or it belongs to another version."""
    if path is None:
        return shipped
    try:
        head = Head.read(path)
    except ValueError as e:
        log.warning("the shipped ranker is used: %s", e)
        return shipped
    if head is None:
        return shipped
    if head.base != shipped.version:
        log.warning(
            "the shipped ranker is used: %s was made for %s; podsift rank distill makes it anew", path, head.base
        )
        return shipped
    return TunedRanker(shipped, head)
