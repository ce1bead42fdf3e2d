"""How well rankers do on episodes that they have not seen: the tables of docs/ranker.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from bench.ranker_regression import (
    ALL,
    HAND,
    INSIGHT,
    MEANING,
    READ_COLUMNS,
    Array,
    Columns,
    Graded,
    out_of_fold,
    shipped,
)
from pipeline.insight import features

TOP = 5
SPEAKER_COLUMNS = [features.NAMES.index(name) for name in ("voices", "speaker_share", "speaker_runs_on")]


def print_figures(episodes: Sequence[Graded], folds: Sequence[int], values: Sequence[Array]) -> None:
    """The table of rankers, each on episodes that it has not seen."""
    log_words = features.NAMES.index("log_words")
    ridge: Columns = (HAND, MEANING)
    lines: list[Callable[[], str]] = [
        lambda: random_row(episodes),
        lambda: row("longest", episodes, [e.columns[:, log_words] for e in episodes]),
        lambda: row("hand-made heuristic", episodes, [heuristic(e.columns) for e in episodes]),
        lambda: row("ridge, features only", episodes, out_of_fold(episodes, folds, (HAND,))),
        lambda: row("ridge, embedding only", episodes, out_of_fold(episodes, folds, (MEANING,))),
        lambda: row("ridge, both", episodes, out_of_fold(episodes, folds, ridge)),
        lambda: row("encoder, worth", episodes, [e.columns[:, READ_COLUMNS][:, 0] for e in episodes]),
        lambda: row("encoder, order", episodes, [e.columns[:, READ_COLUMNS][:, 1] for e in episodes]),
        lambda: row("all three", episodes, out_of_fold(episodes, folds, (slice(None),))),
        lambda: row("features and encoder", episodes, out_of_fold(episodes, folds, ALL)),
        lambda: row("**the same, the lowest quarter not read (shipped)**", episodes, values),
        lambda: row("shipped, speakers unknown", episodes, shipped(episodes, folds, SPEAKER_COLUMNS)),
    ]
    grades = np.concatenate([e.grades for e in episodes])
    print(f"{len(episodes)} episodes, {len(grades)} passages, {(grades >= INSIGHT).mean():.1%} of grade 3 or 4\n")
    print("| ranker | nDCG@5 | precision@5 (grade 3 or 4) |\n|---|---|---|")
    for line in lines:
        print(line(), flush=True)


def print_calibration(values: Array, grades: Array, curve: tuple[float, float]) -> None:
    """What a score means."""
    chance = 1 / (1 + np.exp(-(curve[0] * values + curve[1])))
    print("\n| score | passages | of grade 3 or 4 | of grade 0 |\n|---|---|---|---|")
    for low, high in pairwise((0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)):
        inside = (chance >= low) & (chance < high)
        if inside.any():
            print(
                f"| {low:.2f} to {high:.2f} | {inside.sum()} | {(grades[inside] >= INSIGHT).mean():.1%} "
                f"| {(grades[inside] == 0).mean():.1%} |"
            )


def ndcg(grades: Array, scores: Array) -> float:
    """nDCG of the five best by `scores`, gain 2^grade - 1."""
    gain = 2.0**grades - 1
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    best = np.sort(gain)[::-1][:TOP] @ discount
    return float(gain[np.argsort(-scores, kind="stable")[:TOP]] @ discount / best)


def precision(grades: Array, scores: Array) -> float:
    """Share of grade 3 or 4 among the five best by `scores`."""
    return float((grades[np.argsort(-scores, kind="stable")[:TOP]] >= INSIGHT).mean())


def row(label: str, episodes: Sequence[Graded], values: Sequence[Array]) -> str:
    """A line of the table: mean and standard error over episodes."""
    both = np.array([[f(e.grades, v) for f in (ndcg, precision)] for e, v in zip(episodes, values, strict=True)])
    mean, error = both.mean(axis=0), both.std(axis=0, ddof=1) / np.sqrt(len(both))
    return f"| {label} | {mean[0]:.3f} ± {error[0]:.3f} | {mean[1]:.3f} ± {error[1]:.3f} |"


def random_row(episodes: Sequence[Graded], draws: int = 200) -> str:
    """The expectation over `draws` random orders of each episode."""
    rng = np.random.default_rng(0)
    both = np.array(
        [
            np.mean(
                [[f(e.grades, order) for f in (ndcg, precision)] for order in rng.random((draws, len(e.grades)))],
                axis=0,
            )
            for e in episodes
        ]
    )
    mean, error = both.mean(axis=0), both.std(axis=0, ddof=1) / np.sqrt(len(both))
    return f"| random | {mean[0]:.3f} ± {error[0]:.3f} | {mean[1]:.3f} ± {error[1]:.3f} |"


def heuristic(columns: Array) -> Array:
    """A sensible hand-made order: long, specific, reasoned talk without small talk, all counted equally."""
    signs = {
        "log_words": 1,
        "numbers": 1,
        "content_share": 1,
        "causal": 1,
        "contrast": 1,
        "compare": 1,
        "research": 1,
        "hedge": -1,
        "small_talk": -1,
        "show_talk": -1,
        "questions": -1,
    }
    total: Array = np.zeros(len(columns))
    for name, sign in signs.items():
        column = columns[:, features.NAMES.index(name)]
        total += sign * (column - column.mean()) / (column.std() + 1e-9)
    return total
