"""Trains the classifier that finds sponsor reads, on reads written for it and on ordinary talk.

    python bench/train_sponsor.py ../shared            # figures, and pipeline/data/sponsor.json
    python bench/train_sponsor.py ../shared --dry-run  # figures only

Reads and near misses are those of bench/data/sponsor_training.json; ordinary talk is every fourth of the transcripts
(bench/ads.py counts false alarms on others). Whatever the grades call promotion is left out. The reads
of shared/sponsor_reads.json are never read here. Deterministic.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.reads import Placed, ordinary, place, promotion, training_files
from pipeline import weights
from pipeline.insight.embed import DIMENSIONS, MiniLmEmbedder
from pipeline.resources import PACKAGE, resource
from pipeline.transcript import pitch, structure
from pipeline.transcript.pitch import Array, Pitch

VERSION = "pitch-2"
FOLDS = 4
EVERY = 3
"""Of the windows of ordinary talk so many make one that is trained on: neighbours overlap."""
EMBEDDING_SHARE = 0.5
"""Standardised embedding columns are worth half a feature: 384 of them would drown 14."""
BORDER = (0.2, 0.6)
"""A window with a share of words of a read between these is left out."""
READ_SHARE = 0.25
"""Weight of all reads to that of all talk: log odds of 0 mean as likely as not where one window in five is a read."""
NEAR_WEIGHT = 3.0
"""A near miss counts three times an ordinary window: there are few, and they are what goes wrong."""


@dataclass(frozen=True)
class Rows:
    """Regression inputs of windows, 1.0 where they lie in a read, a weight, and the fold of their text."""

    columns: Array
    is_read: Array
    weight: Array
    fold: Array


def columns_of(p: Placed, embed: MiniLmEmbedder) -> Array:
    """Regression inputs of every window of an episode."""
    texts = [pitch.text_of(p.sentences, w) for w in pitch.windows(p.sentences)]
    return pitch.inputs(texts, embed.embed(texts))


def rows_of(placed: Sequence[Placed], columns: Sequence[Array]) -> Rows:
    """Windows that lie mostly inside a read, or hardly; what straddles a border evenly teaches nothing."""
    rows, labels, weight, fold = [], [], [], []
    for p, x in zip(placed, columns, strict=True):
        for n, window in enumerate(pitch.windows(p.sentences)):
            kinds = Counter[str]()
            for i in range(window[0], window[1] + 1):
                kinds[p.kinds[i]] += len(p.sentences[i].text.split())
            share = kinds["read"] / kinds.total()
            if "skip" in kinds or BORDER[0] < share < BORDER[1]:
                continue
            kind = "read" if share >= BORDER[1] else "near" if kinds["near"] else "talk"
            if kind == "talk" and n % EVERY:
                continue
            rows.append(x[n])
            labels.append(1.0 if kind == "read" else 0.0)
            weight.append(NEAR_WEIGHT if kind == "near" else 1.0 if kind == "read" else float(EVERY))
            fold.append(p.folds[window[0]])
    return Rows(np.array(rows), np.array(labels), np.array(weight), np.array(fold))


def fit(rows: Rows, keep: Array, penalty: float) -> tuple[Array, Array, Array, float]:
    """Mean, scale, weights and bias of a weighted L2 logistic regression (Newton's method)."""
    x, y, w = rows.columns[keep], rows.is_read[keep], rows.weight[keep]
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scale[:DIMENSIONS] = scale[:DIMENSIONS] / EMBEDDING_SHARE
    z = np.hstack(((x - mean) / scale, np.ones((len(x), 1))))
    w = np.where(y > 0, w * READ_SHARE * (w[y == 0].sum() / w[y > 0].sum()), w)
    ridge = np.full(z.shape[1], penalty)
    ridge[-1] = 1e-6
    beta = np.zeros(z.shape[1])
    for _ in range(9):
        p = 1 / (1 + np.exp(-np.clip(z @ beta, -30, 30)))
        gradient = z.T @ (w * (p - y)) + ridge * beta
        hessian = (z * (w * p * (1 - p) + 1e-9)[:, None]).T @ z + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-3:
            break
    return mean, scale, beta[:-1], float(beta[-1])


def judge(model: Pitch, placed: Sequence[Placed], columns: Sequence[Array], folds: set[int]) -> dict[str, int]:
    """Counts on the reads and near misses of these folds, and on the talk around them, as `structure` marks them.

    By the classifier alone: what the phrases of sponsor.py find beside it is not in here.
    """
    n = {"reads": 0, "found": 0, "near": 0, "alarms": 0, "talk": 0, "false": 0}
    for p, x in zip(placed, columns, strict=True):
        if p.fold not in folds and not any(fold in folds for _, _, _, fold in p.items):
            continue
        spans = pitch.windows(p.sentences)
        odds = ((x - model.mean) / model.scale) @ model.weights + model.bias
        marked = {
            i
            for a, b, votes in pitch.stretches(
                p.sentences, pitch.sentence_odds(len(p.sentences), spans, odds), model.cost
            )
            if structure.sells(p.sentences[a : b + 1], votes)
            for i in range(a, b + 1)
        }
        for kind, first, last, fold in p.items:
            if fold in folds:
                inside = [i for i in range(first, last + 1) if i in marked]
                if kind == "read":
                    n["reads"] += 1
                    n["found"] += 2 * len(inside) >= last - first + 1
                else:
                    n["near"] += 1
                    n["alarms"] += bool(inside)
        if p.fold in folds:
            talk = [i for i, kind in enumerate(p.kinds) if kind == "talk"]
            n["talk"] += len(talk)
            n["false"] += sum(i in marked for i in talk)
    return n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()
    corpus = json.loads((Path(__file__).parent / "data/sponsor_training.json").read_text("utf-8"))
    embed = MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))
    talk = [(path, ordinary(path)) for path in training_files(args.shared)[::2]]
    placed = place(
        talk,
        [("read", r["text"]) for r in corpus["reads"]] + [("near", r["text"]) for r in corpus["near_misses"]],
        random.Random(1),
        {path: promotion(path, args.shared) for path, _ in talk},
        folds=FOLDS,
    )
    columns = [columns_of(p, embed) for p in placed]
    rows = rows_of(placed, columns)
    print(f"{int(rows.is_read.sum())} windows of reads, {int((rows.is_read == 0).sum())} others")
    best: tuple[float, float, float] | None = None
    for penalty in (50.0, 100.0, 200.0):
        models = [fit(rows, rows.fold != f, penalty) for f in range(FOLDS)]
        for cost in (1.0, 1.5, 2.0, 3.0):
            total: dict[str, int] = {}
            for f, (mean, scale, beta, bias) in enumerate(models):
                n = judge(Pitch(VERSION, mean, scale, beta, bias, cost), placed, columns, {f})
                total = {k: total.get(k, 0) + v for k, v in n.items()}
            share = total["false"] / total["talk"]
            print(
                f"penalty {penalty:5.0f} cost {cost:4.1f}: reads {total['found']}/{total['reads']}, near misses "
                f"{total['alarms']}/{total['near']}, sentences of talk {share:.2%}"
            )
            worth = total["found"] / total["reads"] - 20 * max(0.0, share - 0.005) - total["alarms"] / total["near"] / 2
            if best is None or worth > best[0]:
                best = (worth, penalty, cost)
    assert best is not None
    _, penalty, cost = best
    mean, scale, beta, bias = fit(rows, np.ones(len(rows.fold), bool), penalty)
    print(f"chosen: penalty {penalty:g}, cost {cost:g}")
    named = sorted(zip(pitch.FEATURES, beta[DIMENSIONS:], strict=True), key=lambda item: -abs(item[1]))
    print(", ".join(f"{name} {value:+.2f}" for name, value in named))
    if not args.dry_run:
        data: dict[str, Any] = {"version": VERSION, "bias": round(bias, 5), "cost": cost}
        data |= {k: [float(f"{x:.5g}") for x in v] for k, v in (("mean", mean), ("scale", scale), ("weights", beta))}
        (PACKAGE / "data" / "sponsor.json").write_text(json.dumps(data), "utf-8")


if __name__ == "__main__":
    main()
