"""Figures on a writer's findings: against grades, against another writer's, and by themselves. Pure.

A run (what `podsift eval run` writes) is `{writer, model, revision, quantisation, prompt_version, episodes}`; each
episode is `{key, words, seconds, tokens, passages, insights, dropped}`: passages and insights as `insight.find` gives
them, `words` the word count of each segment, `dropped` a count by reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.insight.relate import near_verbatim

TOP = 5
INSIGHT = 3
"""Grade from which a passage is an insight."""
FITS_OVERLAP, FITS_RANK = 0.6, 0.5
"""Top-five overlap and rank correlation from which another model is called a fit for a swap. Two large models that read
whole transcripts agree to 0.84 in precision and 0.90 in nDCG at five."""
Json = Mapping[str, Any]


def segment_scores(passages: Sequence[Json], count: int) -> list[float]:
    """For each of `count` segments the score of the best passage that has it; 0.0 where none does."""
    scores = [0.0] * count
    for p in passages:
        for k in range(max(0, p["first"]), min(count - 1, p["last"]) + 1):
            scores[k] = max(scores[k], p["score"])
    return scores


def window_scores(passages: Sequence[Json], windows: Sequence[Sequence[int]], words: Sequence[int]) -> list[float]:
    """For each window (first and last segment) the score of the passage that covers most of its words; 0.0 for none."""
    scores = []
    for first, last in windows:
        covered = [(sum(words[max(first, p["first"]) : min(last, p["last"]) + 1]), p["score"]) for p in passages]
        most, score = max(covered, default=(0, 0.0))
        scores.append(score if most else 0.0)
    return scores


def ndcg(scores: Sequence[float], grades: Sequence[float], k: int = TOP) -> float:
    """Normalised discounted cumulative gain of the k best scored, gain 2^grade - 1; 1.0 when no grade is above 0."""
    gains = [2.0**g - 1 for g in grades]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    ideal = _discounted(sorted(gains, reverse=True)[:k])
    return _discounted([gains[i] for i in order[:k]]) / ideal if ideal else 1.0


def _discounted(gains: Sequence[float]) -> float:
    return sum(g / math.log2(n + 2) for n, g in enumerate(gains))


def precision(scores: Sequence[float], grades: Sequence[float], k: int = TOP) -> float:
    """Share of the k best scored whose grade is INSIGHT or better."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[:k]
    return sum(grades[i] >= INSIGHT for i in order) / k


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's, with mean ranks for ties; None when either has no spread."""
    if len(a) < 3:
        return None
    x, y = _ranks(a), _ranks(b)
    if not x.std() or not y.std():
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return np.asarray((below + (counts - 1) / 2)[inverse], dtype=float)


def top_overlap(a: Sequence[Json], b: Sequence[Json], k: int = TOP) -> float:
    """Share of a's k best insights that share a segment with one of b's k best."""
    best, other = a[:k], b[:k]
    if not best:
        return 1.0 if not other else 0.0
    hit = sum(any(i["first"] <= o["last"] and o["first"] <= i["last"] for o in other) for i in best)
    return hit / len(best)


def summary(run: Json) -> dict[str, Any]:
    """`{episodes, insights, duplicates, dropped, proof_rate, words, seconds, tokens, s_per_insight, ...}`.

    `proof_rate` is the share of the writer's candidates that proof let pass; `words` the median of the insights;
    `duplicates` those that say in nearly the same words, or from mostly the same sentences, what another one says.
    """
    episodes = run["episodes"]
    insights = [i for e in episodes for i in e["insights"]]
    dropped = sum((Counter(e["dropped"]) for e in episodes), Counter[str]())
    seconds = sum(e["seconds"] for e in episodes)
    known = [e["tokens"] for e in episodes if e["tokens"] is not None]
    tokens = sum(known) if known else None
    unproven = sum(n for reason, n in dropped.items() if reason in UNPROVEN)
    n = len(insights)
    return {
        "episodes": len(episodes),
        "insights": n,
        "duplicates": duplicates(episodes),
        "dropped": dict(dropped.most_common()),
        "proof_rate": n / (n + unproven) if n + unproven else None,
        "words": float(np.median([len(i["insight"].split()) for i in insights])) if n else None,
        "seconds": seconds,
        "tokens": tokens,
        "s_per_insight": seconds / n if n else None,
        "tokens_per_insight": tokens / n if n and tokens is not None else None,
    }


UNPROVEN = frozenset({"shape", "evidence", "numbers", "names", "unsupported", "unrelated"})
"""Reasons for which proof drops a candidate."""


def against_grades(run: Json, gold: Mapping[str, Json]) -> dict[str, Any]:
    """Mean and standard error over episodes of nDCG@5 and precision@5; `gold` by episode key, as shared/gold has it."""
    gains, shares = [], []
    for e in run["episodes"]:
        graded = gold.get(e["key"])
        if graded is None:
            continue
        scores = window_scores(e["passages"], graded["spans"], e["words"])
        gains.append(ndcg(scores, graded["grades"]))
        shares.append(precision(scores, graded["grades"]))
    return {"episodes": len(gains), "ndcg@5": _mean(gains), "precision@5": _mean(shares)}


def against_run(run: Json, judge: Json) -> dict[str, Any]:
    """As against_grades, with the insights of a stronger model's run as grades: over the episodes that both read.

    A passage is worth the best score of an insight of which it has most segments, as a grade of up to 4; it counts for
    precision when the other one made an insight there.
    """
    theirs = {e["key"]: e for e in judge["episodes"]}
    gains, shares = [], []
    for e in run["episodes"]:
        other = theirs.get(e["key"])
        if other is None or not other["insights"]:
            continue
        grades = [
            max((4.0 * i["score"] for i in other["insights"] if _same_place(p, i)), default=0.0) for p in e["passages"]
        ]
        scores = [p["score"] for p in e["passages"]]
        gains.append(ndcg(scores, grades))
        order = sorted(range(len(scores)), key=lambda k: -scores[k])[:TOP]
        shares.append(sum(grades[k] > 0 for k in order) / TOP)
    return {"episodes": len(gains), "ndcg@5": _mean(gains), "precision@5": _mean(shares)}


def _same_place(a: Json, b: Json) -> bool:
    """Whether two spans share more than half of the shorter one's segments."""
    common = min(a["last"], b["last"]) - max(a["first"], b["first"]) + 1
    return bool(2 * common > min(span["last"] - span["first"] + 1 for span in (a, b)))


def duplicates(episodes: Sequence[Json]) -> int:
    """Insights that another one of all these episodes, or a better one of their own, says already."""
    seen: list[tuple[Any, Json]] = []
    count = 0
    for e in episodes:
        for i in e["insights"]:
            twin = any(
                near_verbatim(i["insight"], other["insight"]) or (key == e["key"] and _same_place(i, other))
                for key, other in seen
            )
            count += twin
            seen.append((e["key"], i))
    return count


def _mean(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "error": error}


def compared(a: Json, b: Json) -> dict[str, Any]:
    """What changes when b takes a's place, over the episodes that both read, with a short verdict."""
    ours = {e["key"]: e for e in a["episodes"]}
    pairs = [(ours[e["key"]], e) for e in b["episodes"] if e["key"] in ours]
    overlaps = [top_overlap(x["insights"], y["insights"]) for x, y in pairs]
    ranks = [
        r
        for x, y in pairs
        if (r := rank_correlation(*(segment_scores(e["passages"], len(x["words"])) for e in (x, y)))) is not None
    ]
    found = {
        "episodes": len(pairs),
        "overlap@5": _mean(overlaps),
        "rank_correlation": _mean(ranks),
        "a": summary({"episodes": [x for x, _ in pairs]}),
        "b": summary({"episodes": [y for _, y in pairs]}),
    }
    return found | {"verdict": verdict(found)}


def verdict(found: Json) -> str:
    """One or two sentences for an operator."""
    if not found["episodes"] or found["overlap@5"] is None:
        return "Nothing to compare: the two runs have no episode in common."
    overlap, rank = found["overlap@5"]["mean"], found["rank_correlation"]
    a, b = found["a"], found["b"]
    fits = overlap >= FITS_OVERLAP and (rank is None or rank["mean"] >= FITS_RANK)
    if b["proof_rate"] is not None and a["proof_rate"] is not None and b["proof_rate"] < a["proof_rate"] - 0.05:
        fits, why = False, "it proves less"
    else:
        why = "it agrees on most of the best" if fits else "it picks other insights"
    parts = [f"{'A fit' if fits else 'No fit'} for a swap: {why} (overlap {overlap:.2f}"]
    if rank is not None:
        parts.append(f", rank {rank['mean']:+.2f}")
    parts.append(f", {found['episodes']} episodes).")
    if a["s_per_insight"] and b["s_per_insight"]:
        ratio = a["s_per_insight"] / b["s_per_insight"]
        parts.append(f" {ratio:.1f} times as fast." if ratio >= 1 else f" {1 / ratio:.1f} times as slow.")
    if found["episodes"] < 5:
        parts.append(" Too few episodes to rely on.")
    return "".join(parts)
