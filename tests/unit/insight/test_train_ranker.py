"""What bench/train_ranker.py computes without PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from bench.train_ranker import ALL, READ_COLUMNS, SHIPPED, Graded, calibrate, document, fit, ndcg, precision
from pipeline.insight import features
from pipeline.insight.rank import READ
from pipeline.records import Transcript

NOTHING = Transcript("en", 0.0, (), "publisher")


def graded(seed: int, passages: int = 80) -> Graded:
    """Grades that the encoder's first value tells, with noise."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(passages, SHIPPED.stop + 8))
    grades = np.clip(np.round(1 + columns[:, READ_COLUMNS][:, 0] + 0.3 * rng.normal(size=passages)), 0, 4)
    return Graded(f"show-{seed}", grades, columns, (), NOTHING, ())


def test_the_best_order_has_ndcg_one_and_a_bad_one_less() -> None:
    grades = np.array([0.0, 4, 1, 3, 0, 2, 3, 1])
    assert ndcg(grades, grades) == pytest.approx(1)
    assert ndcg(grades, -grades) < 0.2
    assert precision(grades, grades) == 0.6
    assert precision(grades, -grades) == 0.0


def test_the_regression_finds_what_the_encoder_knows_and_holds_on_other_episodes() -> None:
    model = fit([graded(seed) for seed in range(20)])
    own = np.abs(model.weight[SHIPPED])
    assert int(own.argmax()) == READ_COLUMNS.start
    assert not model.weight[SHIPPED.stop :].any()
    other = graded(99)
    assert ndcg(other.grades, model(other.columns)) > 0.7


def test_the_same_episodes_give_the_same_file() -> None:
    first, second = (
        document(fit([graded(1), graded(2)], ALL), (1.0, -2.0), "an embedder", "0" * 64, 2) for _ in range(2)
    )
    assert first == second
    assert [name for name, *_ in first["columns"]] == [*features.NAMES, *READ]


def test_calibrated_scores_are_shares_of_hits() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    hits = (rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * values - 2)))).astype(np.float64)
    slope, offset = calibrate(values, hits)
    assert slope == pytest.approx(1.5, abs=0.1)
    assert offset == pytest.approx(-2, abs=0.1)
