"""An embedder without a model: texts that share words get near vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from pipeline.insight.embed import DIMENSIONS, Vectors


class WordEmbedder:
    """Adds a fixed random direction a word. Answers to the name of the shipped model unless given another."""

    def __init__(self, name: str = "all-MiniLM-L6-v2/int8"):
        self.name = name
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        rows = np.array([self._row(text) for text in texts], dtype=np.float32)
        return rows.reshape(len(texts), DIMENSIONS)

    def _row(self, text: str) -> Vectors:
        total = np.full(DIMENSIONS, 1e-3, dtype=np.float32)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4])
            total += np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
        unit: Vectors = (total / np.linalg.norm(total)).astype(np.float32)
        return unit
