"""Trains a head for the shipped ranker on the insights that a served model wrote, and says whether it is better. Pure.

A passage's gain is what the model's insights in it scored, 0..1. Whole episodes are held back: in turn each fifth of
them is ranked by a head that saw nothing of it, whose penalty was chosen without it as well. No penalty may win, which
leaves the shipped ranker as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UsageError
from pipeline.insight import features
from pipeline.insight.evaluate import TOP, ndcg, rank_correlation
from pipeline.insight.tuned import Array, Head, log_odds
from pipeline.records import Passage, Transcript

FOLDS = 5
LEAST = 10
"""Episodes without which nothing can be shown."""
PENALTIES = (math.inf, 30_000.0, 10_000.0, 3_000.0, 1_000.0, 300.0)
"""Of the head's weights; at infinity it says nothing."""
EMBEDDING_SHARE = 0.5
"""As in bench/train_ranker.py: 384 columns would drown the hand features."""
SURE = 1.64
"""Standard errors by which the head has to be better: by chance that happens once in twenty times."""
HIT = 0.25
"""Gain from which a passage holds an insight of the model."""
GRADES = 4.0
"""The best gain as a grade: nDCG's gain is 2^grade - 1, as on graded episodes."""


@dataclass(frozen=True, slots=True)
class Example:
    """One episode: for each passage its shipped score, its columns (see `tuned.columns_of`) and its gain."""

    shipped: Array
    columns: Array
    gains: Array


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over held-back episodes."""

    ndcg: float
    precision: float
    correlation: float | None


@dataclass(frozen=True, slots=True)
class Distilled:
    """A head, how it and the shipped ranker did on held-back episodes, and whether that is better for sure."""

    head: Head
    shipped: Figures
    tuned: Figures
    difference: float
    error: float
    """Of nDCG at five, and its standard error over episodes."""
    wins: int
    losses: int
    penalty: float

    @property
    def better(self) -> bool:
        return self.difference > SURE * self.error and self.difference > 0


def gains_of(
    passages: Sequence[Passage], written: Iterable[tuple[Sequence[int], float]], transcript: Transcript
) -> Array:
    """For each passage the best of: an insight's score times the share of its evidence's words that the passage has.

    `written` are the insights: evidence (sentence numbers) and score.
    """
    sizes = [len(s.text.split()) for s in transcript.sentences]
    gains = np.zeros(len(passages))
    for evidence, score in written:
        total = sum(sizes[n] for n in evidence if n < len(sizes))
        for k, p in enumerate(passages):
            inside = sum(sizes[n] for n in evidence if p.first <= n <= p.last)
            if inside:
                gains[k] = max(gains[k], score * inside / total)
    return gains


def distil(examples: Sequence[Example], *, base: str, model: str, made: str) -> Distilled:
    """Train and compare. The same episodes in the same order give the same head. Raises UsageError for too few."""
    if len(examples) < LEAST:
        raise UsageError(
            f"{len(examples)} episodes are too few to train on",
            why=f"at least {LEAST} with insights of {model} are needed to hold some back",
            hint="--days looks farther back; podsift eval stored says what there is",
        )
    fold = [k % FOLDS for k in range(len(examples))]
    design = _Design(examples, fold)
    values: list[Array] = [np.zeros(0)] * len(examples)
    for out in range(FOLDS):
        inner = [f for f in range(FOLDS) if f != out]
        penalty = _best_penalty(design, examples, fold, inner)
        solved = design.solve(inner, penalty)
        for k in range(len(examples)):
            if fold[k] == out:
                values[k] = design.rows[k] @ solved
    penalty = _best_penalty(design, examples, fold, list(range(FOLDS)))
    grades = [e.gains * GRADES for e in examples]
    ours = [ndcg(list(v), list(g)) for v, g in zip(values, grades, strict=True)]
    theirs = [ndcg(list(e.shipped), list(g)) for e, g in zip(examples, grades, strict=True)]
    apart = np.array(ours) - np.array(theirs)
    curve = _calibrated(np.concatenate(values), np.concatenate([e.gains for e in examples]))
    head = design.head(design.solve(range(FOLDS), penalty), curve, base, model, made)
    return Distilled(
        head,
        _figures([e.shipped for e in examples], examples),
        _figures(values, examples),
        float(apart.mean()),
        float(apart.std(ddof=1) / math.sqrt(len(apart))),
        int((apart > 0).sum()),
        int((apart < 0).sum()),
        penalty,
    )


class _Design:
    """Rows of the regression, one array an episode: standardised columns, the shipped log odds, 1."""

    def __init__(self, examples: Sequence[Example], fold: Sequence[int]):
        every = np.vstack([e.columns for e in examples])
        known = np.isfinite(every)
        count = np.maximum(1, known.sum(axis=0))
        self.centre = np.where(known, every, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, every - self.centre, 0.0) ** 2).sum(axis=0) / count) + 1e-9
        hand = np.arange(every.shape[1]) < len(features.NAMES)
        self.worth = np.where(hand, 1.0, EMBEDDING_SHARE) / spread
        self.rows = [self._row(e) for e in examples]
        # The sums of each fold, so that hundreds of solutions cost no pass over the rows.
        width = every.shape[1] + 2
        self._inner = np.zeros((FOLDS, width, width))
        self._outer = np.zeros((FOLDS, width))
        for k, (row, e) in enumerate(zip(self.rows, examples, strict=True)):
            self._inner[fold[k]] += row.T @ row
            self._outer[fold[k]] += row.T @ e.gains

    def _row(self, e: Example) -> Array:
        own = np.nan_to_num(e.columns - self.centre) * self.worth
        return np.hstack([own, log_odds(e.shipped)[:, None], np.ones((len(own), 1))])

    def solve(self, folds: Sequence[int], penalty: float) -> Array:
        """Weights from the episodes of these folds."""
        inner, outer = self._inner[list(folds)].sum(axis=0), self._outer[list(folds)].sum(axis=0)
        width = len(outer)
        used = slice(width - 2, width) if math.isinf(penalty) else slice(0, width)
        ridge = np.full(width, penalty)
        ridge[-2:] = 1e-6  # the shipped ranker's word is free
        found = np.zeros(width)
        found[used] = np.linalg.solve(inner[used, used] + np.diag(ridge[used]), outer[used])
        return found

    def head(self, solved: Array, curve: tuple[float, float], base: str, model: str, made: str) -> Head:
        weight = solved[:-2] * self.worth
        return Head(
            base,
            model,
            made,
            len(self.rows),
            tuple(float(c) for c in self.centre),
            tuple(float(w) for w in weight),
            float(solved[-2]),
            float(solved[-1]),
            *curve,
        )


def _best_penalty(design: _Design, examples: Sequence[Example], fold: Sequence[int], folds: Sequence[int]) -> float:
    """Of the penalties the one whose heads rank best what they did not see, among these folds; the first of equals."""

    def mean(penalty: float) -> float:
        told = []
        for out in folds:
            solved = design.solve([f for f in folds if f != out], penalty)
            told += [
                ndcg(list(design.rows[k] @ solved), list(examples[k].gains * GRADES))
                for k in range(len(examples))
                if fold[k] == out
            ]
        return float(np.mean(told))

    return max(PENALTIES, key=mean)


def _figures(values: Sequence[Array], examples: Sequence[Example]) -> Figures:
    pairs = list(zip(values, examples, strict=True))
    gains = [ndcg(list(v), list(e.gains * GRADES)) for v, e in pairs]
    hits = [float((e.gains[np.argsort(-v, kind="stable")[:TOP]] >= HIT).sum() / TOP) for v, e in pairs]
    ranks = [r for v, e in pairs if (r := rank_correlation(list(v), list(e.gains))) is not None]
    return Figures(float(np.mean(gains)), float(np.mean(hits)), float(np.mean(ranks)) if ranks else None)


def _calibrated(values: Array, gains: Array, steps: int = 50) -> tuple[float, float]:
    """Slope and offset of a logistic curve from values to the share of hits, by Newton's method with a little ridge."""
    hits = (gains >= HIT).astype(np.float64)
    rows = np.column_stack([values, np.ones_like(values)])
    found = np.zeros(2)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + 1e-3 * np.eye(2)
        found = found + np.linalg.solve(bend, rows.T @ (hits - chance) - 1e-3 * found)
    return float(found[0]), float(found[1])
