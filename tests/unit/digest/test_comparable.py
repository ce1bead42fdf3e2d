"""Comparing with a part of what a reader has had chooses exactly what comparing with all of it does."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.digest.select import select
from pipeline.insight.relate import same_reason, text_key
from pipeline.store.insights import Candidate, Had, Vector
from pipeline.store.links import Link
from tests.fakes.embedder import WordEmbedder
from tests.fakes.rows import stored

WORDS = "bread letters engines seedlings tickets not 14 3 maps lenses bricks sails cold warm early late".split()  # noqa: SIM905
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def everything(a: str, av: Vector | None, b: str, bv: Vector | None) -> str | None:
    """The same question under another name: then nothing is left out."""
    return same_reason(a, av, b, bv)


@pytest.mark.parametrize("seed", range(12))
def test_it_chooses_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    embedder = WordEmbedder()

    def text() -> str:
        return " ".join(rng.choice(WORDS, int(rng.integers(1, 14))))

    past = [text() for _ in range(40)]
    new = [
        past[int(rng.integers(40))] + (" " + text() if rng.random() < 0.6 else "") if rng.random() < 0.5 else text()
        for _ in range(40)
    ]
    vectors = list(embedder.embed(past + new))
    if seed % 4 == 3:
        vectors = [None if rng.random() < 0.3 else v for v in vectors]
    had = [Had(k if k % 9 else 1000 + k, text_key(t), t, vectors[k]) for k, t in enumerate(past)]
    found = [
        Candidate(stored(1000 + k, t, float(rng.random()), NOW, feed=k % 5), text_key(t), vectors[40 + k])
        for k, t in enumerate(new)
    ]
    kinds = ("same", "update", "extends", "related")
    links = {
        frozenset((1000 + k, had[k].insight_id)): Link(1000 + k, had[k].insight_id, kinds[k % 4], "r", 0.5, "j", "c")
        for k in range(0, 40, 3)
        if had[k].insight_id != 1000 + k
    }
    assert select(found, had, 5, 0.1, same_reason, links) == select(found, had, 5, 0.1, everything, links)
