"""How well each judge tells a returning idea from a related one, on written pairs.

    python bench/same.py ../shared                                  # gate, threshold, words
    python bench/same.py ../shared --llm-url http://127.0.0.1:30000 # and the served model, by its own prompts

shared/paraphrases.json holds 40 insights, each with a paraphrase (the same idea), a hard negative (same subject,
another idea), and for some a contradiction and an update. Recall is the share of paraphrases called the same; a false
merge is any of the others called the same: it would hide an insight. The pairs are as hard as their writers could make
them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.insight.judge import Judge, ModelJudge, Pair, Said, WordsJudge
from pipeline.insight.llm import open_model
from pipeline.insight.relate import GATE, SAME, expand_acronyms
from pipeline.insight.toolbox import Toolbox
from pipeline.settings import LlmSettings

KINDS = ("paraphrase", "hard_negative", "contradiction", "update")


def pairs(shared: Path) -> list[tuple[str, Pair]]:
    """(kind, pair) of every written pair, with the product's own embeddings."""
    found = json.loads((shared / "paraphrases.json").read_text("utf-8"))
    embedder = Toolbox().embedder
    rows = [(kind, row, row[kind]) for row in found for kind in KINDS if row[kind]]
    texts = [t for _, row, other in rows for t in (row["insight"], other)]
    vectors = embedder.embed([expand_acronyms(t) for t in texts])
    return [
        (kind, Pair(Said("", other, vectors[2 * k + 1]), Said(row["title"], row["insight"], vectors[2 * k])))
        for k, (kind, row, other) in enumerate(rows)
    ]


def table(name: str, said: Sequence[str], kinds: Sequence[str]) -> str:
    """One line: recall, false merges by kind, and how often updates and contradictions were named."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, verdict in zip(kinds, said, strict=True):
        by_kind[kind][verdict] += 1
    total = {k: sum(by_kind[k].values()) for k in KINDS}
    others = KINDS[1:]
    wrong, of = sum(by_kind[k]["same"] for k in others), sum(total[k] for k in others)
    merged = " ".join(f"{by_kind[k]['same']:>3}/{total[k]:<3}" for k in others)
    updates = f"{by_kind['update']['update']}/{total['update']}"
    disputes = f"{by_kind['contradiction']['disputes']}/{total['contradiction']}"
    recall = by_kind["paraphrase"]["same"] / total["paraphrase"]
    return f"{name:28}{recall:>7.0%}{wrong / of:>13.1%}   {merged}   {updates} {disputes}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--llm-url")
    parser.add_argument("--most", type=int, help="only so many pairs for the served model")
    args = parser.parse_args()
    rows = pairs(args.shared)
    kinds = [kind for kind, _ in rows]
    print(f"{'judge':28}{'recall':>7}{'false merges':>13}   of negatives, contradictions, updates   named upd. contr.")
    print(table(f"cosine >= {GATE}", ["same" if p.cosine >= GATE else "" for _, p in rows], kinds))
    print(table(f"cosine >= {SAME}", ["same" if p.cosine >= SAME else "" for _, p in rows], kinds))
    print(table("words (no model)", _kinds(WordsJudge(), [p for _, p in rows]), kinds))
    if args.llm_url:
        settings = LlmSettings.model_validate({"url": args.llm_url})
        some = rows[: args.most]
        verdicts = _kinds(ModelJudge(lambda: open_model(settings)), [p for _, p in some])
        print(table("served model", verdicts, [kind for kind, _ in some]))


def _kinds(judge: Judge, asked: Sequence[Pair]) -> list[str]:
    return [v.kind for v in judge.decide(asked)]


if __name__ == "__main__":
    main()
