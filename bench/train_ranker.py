"""Trains the shipped passage ranker on graded episodes and says how well it does on unseen ones.

    python bench/train_ranker.py ../shared            # figures, and pipeline/data/ranker.json
    python bench/train_ranker.py ../shared --dry-run  # figures only

Deterministic: the same episodes, embedding file and numpy give the same weights. Cross-validation leaves whole episodes
out (17 folds of 3), and once whole shows, because passages of one episode or one host are alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import weights
from pipeline.insight import features
from pipeline.insight.embed import Embedder, MiniLmEmbedder, Vectors
from pipeline.insight.passage import passages
from pipeline.insight.rank import EXTRA, inputs
from pipeline.records import Passage, Sentence, Transcript
from pipeline.resources import PACKAGE, resource

VERSION = "ridge-1"
FOLDS = 17
PENALTY = 3000.0
"""0.44 to 0.45 nDCG@5 anywhere from 300 to 3000."""
EMBEDDING_SHARE = 0.5
"""Standardised embedding columns are worth half a hand feature: 384 of them would drown 42."""
INSIGHT = 3
TOP = 5
SPEAKER_COLUMNS = [features.NAMES.index(name) for name in ("voices", "speaker_share", "speaker_runs_on")]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Graded:
    """One graded episode: `grades` 0..4 and a row of regression inputs for each of its passages."""

    name: str
    grades: Array
    columns: Array

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


def read_transcript(path: Path) -> Transcript:
    """A transcript whose segments are sentences already."""
    segments = json.loads(path.read_text("utf-8"))["segments"]
    return Transcript(
        "en",
        segments[-1]["endTime"],
        tuple(
            Sentence(i, s["startTime"], s["endTime"], s["body"], s.get("speaker"), None, (i, i))
            for i, s in enumerate(segments)
        ),
        "publisher",
    )


def read_graded(shared: Path, embedder: Embedder) -> list[Graded]:
    """Every graded episode; stops when the product would cut an episode otherwise than the graders did."""
    found = []
    for path in sorted((shared / "gold").glob("*.json")):
        gold = json.loads(path.read_text("utf-8"))
        transcript = read_transcript(shared / "transcripts" / path.name)
        cut = passages(transcript)
        if [[p.first, p.last] for p in cut] != gold["spans"]:
            raise SystemExit(f"{path.name}: passage.py no longer cuts as the graders did")
        columns = inputs(features.matrix(cut, transcript), _vectors(cut, transcript, embedder))
        found.append(Graded(path.stem, np.array(gold["grades"], dtype=np.float64), columns))
    return found


def _vectors(cut: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> Vectors:
    texts = [features.text_of(transcript, p.first, p.last) for p in cut]
    key = hashlib.sha256("\0".join([embedder.name, *texts]).encode()).hexdigest()[:24]
    cache = Path(tempfile.gettempdir()) / "podsift-ranker" / f"{key}.npy"
    if not cache.exists():
        cache.parent.mkdir(exist_ok=True)
        np.save(cache, embedder.embed(texts))
    kept: Vectors = np.load(cache)
    return kept


def fit(episodes: Sequence[Graded], columns: slice = slice(None)) -> Model:
    """Ridge on gain (2^grade - 1) over some of the columns; the rest get weight 0."""
    rows = np.vstack([e.columns for e in episodes])
    gain = np.concatenate([2.0**e.grades - 1 for e in episodes])
    centre, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    worth = np.where(np.arange(rows.shape[1]) < len(features.NAMES) + len(EXTRA), 1.0, EMBEDDING_SHARE) / spread
    chosen = np.zeros(rows.shape[1])
    chosen[columns] = worth[columns]
    standard = (rows - centre) * chosen
    inner = np.linalg.solve(
        standard.T @ standard + PENALTY * np.eye(standard.shape[1]), standard.T @ (gain - gain.mean())
    )
    return Model(centre, inner * chosen, float(gain.mean()))


def ndcg(grades: Array, scores: Array) -> float:
    """nDCG of the five best by `scores`, gain 2^grade - 1."""
    gain = 2.0**grades - 1
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    best = np.sort(gain)[::-1][:TOP] @ discount
    return float(gain[np.argsort(-scores, kind="stable")[:TOP]] @ discount / best)


def precision(grades: Array, scores: Array) -> float:
    """Share of grade 3 or 4 among the five best by `scores`."""
    return float((grades[np.argsort(-scores, kind="stable")[:TOP]] >= INSIGHT).mean())


def out_of_fold(
    episodes: Sequence[Graded], groups: Sequence[Any], columns: slice = slice(None), hidden: Sequence[int] = ()
) -> list[Array]:
    """Each episode's values by a model that saw no episode of its group. `hidden` columns are unknown at test."""
    values: list[Array] = [np.zeros(0)] * len(episodes)
    for group in sorted(set(groups)):
        model = fit([e for e, g in zip(episodes, groups, strict=True) if g != group], columns)
        for i, episode in enumerate(episodes):
            if groups[i] == group:
                rows = episode.columns.copy()
                rows[:, list(hidden)] = np.nan
                values[i] = model(rows)
    return values


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


def calibrate(values: Array, hits: Array, steps: int = 50) -> tuple[float, float]:
    """Slope and offset of a logistic curve from values to the share of hits, by Newton's method."""
    rows = np.column_stack([values, np.ones_like(values)])
    found = np.zeros(2)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-rows @ found))
        found += np.linalg.solve((rows * (chance * (1 - chance))[:, None]).T @ rows, rows.T @ (hits - chance))
    return float(found[0]), float(found[1])


def document(model: Model, curve: tuple[float, float], embedder: str, episodes: int) -> dict[str, Any]:
    """What ranker.json holds: for each column its centre and weight, rounded to 7 digits."""
    pairs = [[float(f"{c:.7g}"), float(f"{w:.7g}")] for c, w in zip(model.centre, model.weight, strict=True)]
    names = [*features.NAMES, *EXTRA]
    return {
        "version": VERSION,
        "embedder": embedder,
        "trained_on": f"{episodes} graded episodes of Changelog Media's transcripts (CC BY-SA 4.0); see docs/ranker.md",
        "intercept": float(f"{model.intercept:.7g}"),
        "slope": float(f"{curve[0]:.7g}"),
        "offset": float(f"{curve[1]:.7g}"),
        "columns": [[name, *pair] for name, pair in zip(names, pairs, strict=False)],
        "embedding": pairs[len(names) :],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with gold/ and transcripts/")
    parser.add_argument("--out", type=Path, default=PACKAGE / "data" / "ranker.json")
    parser.add_argument("--dry-run", action="store_true", help="print figures, write nothing")
    arguments = parser.parse_args()

    embedder = MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))
    episodes = read_graded(arguments.shared, embedder)
    order = np.random.default_rng(0).permutation(len(episodes))
    folds = [int(f) for f in np.argsort(order) % FOLDS]
    hand = slice(0, len(features.NAMES))
    meaning = slice(len(features.NAMES) + len(EXTRA), None)
    log_words = features.NAMES.index("log_words")
    values = out_of_fold(episodes, folds)
    lines: list[Callable[[], str]] = [
        lambda: random_row(episodes),
        lambda: row("longest", episodes, [e.columns[:, log_words] for e in episodes]),
        lambda: row("hand-made heuristic", episodes, [heuristic(e.columns) for e in episodes]),
        lambda: row("ridge, features only", episodes, out_of_fold(episodes, folds, hand)),
        lambda: row("ridge, embedding only", episodes, out_of_fold(episodes, folds, meaning)),
        lambda: row("**ridge, both (shipped)**", episodes, values),
        lambda: row("shipped, speakers unknown", episodes, out_of_fold(episodes, folds, hidden=SPEAKER_COLUMNS)),
        lambda: row("shipped, unseen show", episodes, out_of_fold(episodes, [e.show for e in episodes])),
    ]
    grades = np.concatenate([e.grades for e in episodes])
    print(f"{len(episodes)} episodes, {len(grades)} passages, {(grades >= INSIGHT).mean():.1%} of grade 3 or 4\n")
    print("| ranker | nDCG@5 | precision@5 (grade 3 or 4) |\n|---|---|---|")
    for line in lines:
        print(line(), flush=True)
    curve = calibrate(np.concatenate(values), (grades >= INSIGHT).astype(np.float64))
    chance = 1 / (1 + np.exp(-(curve[0] * np.concatenate(values) + curve[1])))
    print("\n| score | passages | of grade 3 or 4 | of grade 0 |\n|---|---|---|---|")
    edges = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
    for low, high in pairwise(edges):
        inside = (chance >= low) & (chance < high)
        if inside.any():
            print(
                f"| {low:.2f} to {high:.2f} | {inside.sum()} | {(grades[inside] >= INSIGHT).mean():.1%} "
                f"| {(grades[inside] == 0).mean():.1%} |"
            )
    if not arguments.dry_run:
        text = json.dumps(document(fit(episodes), curve, embedder.name, len(episodes)), separators=(",", ":"))
        arguments.out.write_text(text + "\n", "utf-8")
        print(f"\nwrote {arguments.out.name}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
