"""The ridge regression that weighs what the encoder says of a passage with what can be counted, and its screen.

All of it in numpy. bench/train_ranker.py fits what ships with it, bench/ranker_figures.py what that is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.insight import features
from pipeline.insight.rank import READ
from pipeline.insight.reading import Pair
from pipeline.records import Passage, Transcript

FOLDS = 3
"""Each trains an encoder."""
READ_SHARE = 2.0
"""What each of the encoder's values is worth in hand features."""
PENALTY = 3000.0
"""0.44 to 0.45 nDCG@5 anywhere from 300 to 3000."""
EMBEDDING_SHARE = 0.5
"""Standardised embedding columns are worth half a hand feature: 384 of them would drown 42."""
SCREENED = (0.25, 0.4)
"""Shares of the passages that hand features alone put lowest: the first is not read, which saves a quarter of the time
and of the insights 3 %; from there up to the second what the encoder says counts more and more, so that a passage near
the border does not leap when something elsewhere in the episode changes."""
INSIGHT = 3
"""Grade from which a passage counts as an insight."""
HAND = slice(0, len(features.NAMES))
READ_COLUMNS = slice(HAND.stop, HAND.stop + len(READ))
SHIPPED = slice(0, READ_COLUMNS.stop)
MEANING = slice(READ_COLUMNS.stop, None)
"""The embedding: for rankers to compare with; what is shipped does not use it."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Graded:
    """One graded episode: `grades` 0..4 and a row of regression inputs for each of its passages.

    The READ columns of `columns` are unknown (NaN) until an encoder that did not see the episode has read it.
    """

    name: str
    grades: Array
    columns: Array
    cut: Sequence[Passage]
    transcript: Transcript
    pairs: Sequence[Pair]
    """In tokens of the whole vocabulary; what ships has a part of it."""

    @property
    def show(self) -> str:
        return self.name.rsplit("-", 1)[0]


@dataclass(frozen=True)
class Model:
    """A fitted ridge regression on standardised columns; a missing value counts as the average."""

    centre: Array
    weight: Array
    intercept: float

    def __call__(self, columns: Array) -> Array:
        values: Array = np.nan_to_num(columns - self.centre) @ self.weight + self.intercept
        return values


def others(folds: Sequence[int], fold: int) -> list[int]:
    """Episodes of the other folds."""
    return [i for i, f in enumerate(folds) if f != fold]


def unseen(folds: Sequence[int], fold: int) -> list[int]:
    """Episodes of the fold."""
    return [i for i, f in enumerate(folds) if f == fold]


def folds_of(count: int) -> list[int]:
    """The fold of each of `count` episodes."""
    order = np.random.default_rng(0).permutation(count)
    return [int(f) for f in np.argsort(order) % FOLDS]


Columns = Sequence[slice]
ALL: Columns = (SHIPPED,)


def fit(episodes: Sequence[Graded], columns: Columns = ALL) -> Model:
    """Ridge on gain (2^grade - 1) over some of the columns; the rest get weight 0."""
    rows = np.nan_to_num(np.vstack([e.columns for e in episodes]))
    gain = np.concatenate([2.0**e.grades - 1 for e in episodes])
    centre, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    worth = 1 / spread
    worth[READ_COLUMNS] *= READ_SHARE
    worth[MEANING] *= EMBEDDING_SHARE
    chosen = np.zeros(rows.shape[1])
    for some in columns:
        chosen[some] = worth[some]
    standard = (rows - centre) * chosen
    inner = np.linalg.solve(
        standard.T @ standard + PENALTY * np.eye(standard.shape[1]), standard.T @ (gain - gain.mean())
    )
    return Model(centre, inner * chosen, float(gain.mean()))


@dataclass(frozen=True)
class Screen:
    """Which passages are not read, by hand features alone, and what is assumed that the encoder would say of them."""

    model: Model
    least: float
    sure: float
    unread: Array

    @classmethod
    def of(cls, episodes: Sequence[Graded]) -> Screen:
        """From episodes whose passages all were read."""
        rows = np.vstack([e.columns for e in episodes])
        model = fit(episodes, (HAND,))
        values = model(rows)
        least, sure = (float(q) for q in np.quantile(values, SCREENED))
        return cls(model, least, sure, rows[values < least, READ_COLUMNS].mean(axis=0))

    def __call__(self, episode: Graded) -> Graded:
        """The episode as it is when the screened passages are not read."""
        columns = episode.columns.copy()
        trust = np.clip((self.model(columns) - self.least) / (self.sure - self.least), 0, 1)[:, None]
        columns[:, READ_COLUMNS] = self.unread + trust * (columns[:, READ_COLUMNS] - self.unread)
        return replace(episode, columns=columns)


def out_of_fold(episodes: Sequence[Graded], groups: Sequence[Any], columns: Columns) -> list[Array]:
    """Each episode's values by a regression that saw no episode of its group."""
    values: list[Array] = [np.zeros(0)] * len(episodes)
    for group in sorted(set(groups)):
        model = fit([e for e, g in zip(episodes, groups, strict=True) if g != group], columns)
        for i, episode in enumerate(episodes):
            if groups[i] == group:
                values[i] = model(episode.columns)
    return values


def shipped(episodes: Sequence[Graded], groups: Sequence[Any], hidden: Sequence[int] = ()) -> list[Array]:
    """As `out_of_fold`, of what ships: screened, and the regression on the rest."""
    values: list[Array] = [np.zeros(0)] * len(episodes)
    for group in sorted(set(groups)):
        others_ = [e for e, g in zip(episodes, groups, strict=True) if g != group]
        screen = Screen.of(others_)
        model = fit([screen(e) for e in others_])
        for i, episode in enumerate(episodes):
            if groups[i] == group:
                columns = episode.columns.copy()
                columns[:, list(hidden)] = np.nan
                values[i] = model(screen(replace(episode, columns=columns)).columns)
    return values


def calibrate(values: Array, hits: Array, steps: int = 50) -> tuple[float, float]:
    """Slope and offset of a logistic curve from values to the share of hits, by Newton's method."""
    rows = np.column_stack([values, np.ones_like(values)])
    found = np.zeros(2)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-rows @ found))
        found += np.linalg.solve((rows * (chance * (1 - chance))[:, None]).T @ rows, rows.T @ (hits - chance))
    return float(found[0]), float(found[1])
