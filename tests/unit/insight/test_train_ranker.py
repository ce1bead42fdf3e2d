"""What bench/train_ranker.py computes without PyTorch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.ranker_figures import ndcg, precision
from bench.ranker_regression import (
    ALL,
    READ_COLUMNS,
    SCREENED,
    SHIPPED,
    Graded,
    Screen,
    calibrate,
    fit,
    shipped,
)
from bench.train_ranker import PINS, document, vocabulary_of
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
    some, pins = [graded(1), graded(2)], {name: name[0] * 64 for name in PINS}
    first, second = (document(fit(some, ALL), Screen.of(some), (1.0, -2.0), "an embedder", pins, 2) for _ in range(2))
    assert first == second
    assert {name: first[name] for name in PINS} == pins
    assert [name for name, *_ in first["columns"]] == [*features.NAMES, *READ]


def test_calibrated_scores_are_shares_of_hits() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    hits = (rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * values - 2)))).astype(np.float64)
    slope, offset = calibrate(values, hits)
    assert slope == pytest.approx(1.5, abs=0.1)
    assert offset == pytest.approx(-2, abs=0.1)


def told_by_hand(seed: int) -> Graded:
    """Grades that the first hand feature tells, with noise, and the encoder's values too."""
    found = graded(seed)
    grades = np.clip(np.round(2 + found.columns[:, 0]), 0, 4)
    columns = found.columns.copy()
    columns[:, READ_COLUMNS.start] = grades + np.random.default_rng(seed).normal(size=len(grades))
    return replace(found, grades=grades, columns=columns)


def test_what_hand_features_put_lowest_is_not_read_and_nothing_leaps_at_the_border() -> None:
    some = [told_by_hand(seed) for seed in range(20)]
    screen = Screen.of(some)
    rows = np.vstack([e.columns for e in some])
    read = rows[:, READ_COLUMNS]
    screened = np.vstack([screen(e).columns[:, READ_COLUMNS] for e in some])
    hand = screen.model(rows)
    least, sure = SCREENED
    left = (screened == screen.unread).all(axis=1)
    assert left.mean() == pytest.approx(least, abs=0.01)
    whole = np.isclose(screened, read).all(axis=1)
    assert whole.mean() == pytest.approx(1 - sure, abs=0.01)
    grades = np.concatenate([e.grades for e in some])
    assert grades[left].max() < grades[whole].mean()
    assert screen.unread == pytest.approx(read[left].mean(axis=0))
    # Just above the border the encoder's word weighs as little as the distance from it.
    share = np.abs(screened - screen.unread) / np.abs(read - screen.unread)
    above = (hand > screen.least) & (hand < screen.sure)
    assert share[above, 0] == pytest.approx((hand[above] - screen.least) / (screen.sure - screen.least), abs=1e-6)


def test_an_episode_is_not_judged_by_what_was_learnt_from_it() -> None:
    some = [told_by_hand(seed) for seed in range(12)]
    folds = [i % 3 for i in range(12)]
    spoilt = [replace(e, grades=np.roll(e.grades, 7)) if f == 0 else e for e, f in zip(some, folds, strict=True)]
    for i in (0, 3, 6, 9):
        assert np.array_equal(shipped(some, folds)[i], shipped(spoilt, folds)[i])
    assert not np.array_equal(shipped(some, folds)[1], shipped(spoilt, folds)[1])


def test_kept_words_are_the_frequent_ones_and_those_that_were_seen() -> None:
    words = ["[PAD]", "[unused0]", *(f"word{i}" for i in range(8100))]
    episode = replace(graded(0), pairs=[([3, 8050], [8060]), ([], [4])])
    assert vocabulary_of([episode], words) == [0, *range(2, 8000), 8050, 8060]
