"""A head for the ranker: used only when it ranks episodes better that it has not seen."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.insight.distill import LEAST, Distilled, Example, distil, gains_of
from pipeline.insight.features import NAMES
from pipeline.insight.passage import passages
from pipeline.insight.rank import Ranker
from pipeline.insight.tuned import FILE, Head, TunedRanker, columns_of, log_odds, tuned
from pipeline.records import Passage
from tests.fakes.embedder import WordEmbedder
from tests.fakes.talk import WASTE, talk

WIDTH = len(NAMES) + 16


def examples(count: int, taste: float, seed: int = 1, passages_: int = 60) -> list[Example]:
    """Episodes whose model likes what the shipped ranker likes, and by `taste` a hand feature that it does not know."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        columns = rng.normal(size=(passages_, WIDTH))
        shipped = rng.normal(size=passages_)
        worth = shipped + taste * columns[:, 3] + rng.normal(size=passages_)
        gains = np.where(worth >= np.sort(worth)[-8], 0.5 + 0.04 * worth, 0.0)
        made.append(Example(1 / (1 + np.exp(-shipped)), columns, np.clip(gains, 0, 1)))
    return made


def train(some: list[Example]) -> Distilled:
    return distil(some, base="ridge-1", model="big", made="2026-11-24")


def test_a_taste_that_the_shipped_ranker_lacks_is_learnt_and_shown_on_held_back_episodes() -> None:
    found = train(examples(30, taste=3.0))
    assert found.better and found.tuned.ndcg > found.shipped.ndcg + 0.2 and found.wins > 3 * found.losses
    assert found.tuned.precision > found.shipped.precision and found.tuned.correlation is not None
    assert found.difference == pytest.approx(found.tuned.ndcg - found.shipped.ndcg)
    # What was learnt holds for episodes of another time, not only for those that it was trained on.
    fresh = examples(1, taste=3.0, seed=99, passages_=400)[0]
    scores = found.head.scores(fresh.shipped, fresh.columns)
    assert np.corrcoef(scores, fresh.gains)[0, 1] > np.corrcoef(fresh.shipped, fresh.gains)[0, 1] + 0.2
    assert (scores >= 0).all() and (scores <= 1).all()
    share = float((fresh.gains >= 0.25).mean())
    assert abs(float(scores.mean()) - 8 / 60) < 0.06 and share > 0


def test_where_there_is_nothing_to_learn_the_shipped_ranker_is_not_called_worse() -> None:
    assert [train(examples(20, taste=0.0, seed=s)).better for s in range(8)].count(True) <= 1
    noise = [replace(e, gains=np.random.default_rng(k).permutation(e.gains)) for k, e in enumerate(examples(20, 0.0))]
    assert not train(noise).better


def test_the_same_episodes_give_the_same_head_and_too_few_give_none() -> None:
    assert train(examples(12, 1.0)).head == train(examples(12, 1.0)).head
    with pytest.raises(UsageError, match="too few"):
        train(examples(LEAST - 1, 3.0))


def test_a_column_that_is_unknown_everywhere_hurts_nobody() -> None:
    some = [replace(e, columns=np.hstack([np.full((60, 1), np.nan), e.columns[:, 1:]])) for e in examples(12, 1.0)]
    found = train(some)
    assert (
        np.isfinite(found.head.weight).all() and np.isfinite(found.head.scores(some[0].shipped, some[0].columns)).all()
    )


def test_a_passages_gain_is_the_best_share_of_an_insight() -> None:
    cut = [Passage(0, 2), Passage(3, 5), Passage(6, 8)]
    gains = gains_of(cut, [(list(WASTE), 0.8), ([5], 0.3), ([400], 0.9)], talk())
    sizes = [len(s.text.split()) for s in talk().sentences]
    whole = sum(sizes[n] for n in WASTE)
    assert gains[0] == pytest.approx(0.8 * (sizes[1] + sizes[2]) / whole)
    assert gains[1] == pytest.approx(max(0.3, 0.8 * (sizes[3] + sizes[5]) / whole))
    assert gains[2] == 0


def head(**changes: Any) -> Head:
    width = len(NAMES) + 384
    weight = [0.0] * width
    weight[NAMES.index("numbers")] = 0.5
    values: dict[str, Any] = {
        "base": Ranker.load().version,
        "model": "big",
        "made": "2026-11-24",
        "episodes": 12,
        "centre": tuple([0.0] * width),
        "weight": tuple(weight),
        "trust": 1.0,
        "intercept": 0.0,
        "slope": 1.0,
        "offset": 0.0,
    }
    return Head(**(values | changes))


def test_a_tuned_ranker_stands_where_the_shipped_one_stood(tmp_path: Path) -> None:
    cut, said, embedder = passages(talk()), talk(), WordEmbedder()
    shipped = Ranker.load()
    path = tmp_path / FILE
    assert tuned(shipped, path) is shipped and tuned(shipped, None) is shipped
    head().save(path)
    assert Head.read(path) == head() and [p.name for p in tmp_path.iterdir()] == [FILE]
    ours = tuned(shipped, path)
    assert isinstance(ours, TunedRanker) and "tuned 2026-11-24" in ours.version
    before, after = shipped.score(cut, said, embedder), ours.score(cut, said, embedder)
    assert [(p.first, p.last) for p in after] == [(p.first, p.last) for p in before]
    counts = columns_of(cut, said, embedder.embed(["x"] * len(cut)))[:, NAMES.index("numbers")]
    odds = log_odds(np.array([p.score for p in before])) + 0.5 * counts
    assert counts.any() and [p.score for p in after] == pytest.approx(1 / (1 + np.exp(-odds)), abs=2e-6)
    assert ours.score((), said, embedder) == ()
    some = [cut[-1], cut[0]]
    vectors = ours.vectors(some, said, embedder)
    assert len(ours.scored(some, said, vectors)) == 2


def test_a_head_of_another_version_or_a_damaged_one_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shipped, path = Ranker.load(), tmp_path / FILE
    head(base="ridge-0").save(path)
    with caplog.at_level(logging.WARNING):
        assert tuned(shipped, path) is shipped
        assert "podsift rank distill makes it anew" in caplog.text
        for broken in ("", "[]", "{}", json.dumps({"centre": [1], "weight": ["a"]}), "\0"):
            path.write_text(broken)
            assert tuned(shipped, path) is shipped
            with pytest.raises(ValueError, match="podsift rank distill"):
                Head.read(path)
        head(weight=(1.0,)).save(path)
        assert tuned(shipped, path) is shipped and "damaged" in caplog.text
