"""How well each judge tells a returning idea from a related one, on written pairs.

    python -m bench.same ../shared                                  # gate, threshold, words, a scripted model
    python -m bench.same ../shared --llm-url http://127.0.0.1:30000 # and the served model, by its own prompts

shared/paraphrases.json holds 40 insights, each with a paraphrase (the same idea), a hard negative (same subject,
another idea), and for some a contradiction and an update. Recall is the share of paraphrases called the same; a false
merge is any of the others called the same: it would hide an insight. The pairs are as hard as their writers could make
them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.insight.judge import ASKED, Judge, ModelJudge, Pair, Said, WordsJudge
from pipeline.insight.llm import open_model
from pipeline.insight.relate import GATE, SAME, expand_acronyms
from pipeline.insight.toolbox import Toolbox
from pipeline.settings import LlmSettings
from tests.fakes.sglang import FakeSglang

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
    return f"{name:34}{recall:>7.0%}{wrong / of:>13.1%}   {merged}   {updates} {disputes}"


class Sure:
    """A stand-in for a model that answers questions about the written pairs rightly, but for a share of them.

    It shows what the product makes of a judge that is right so often: four questions, two orders, a margin. It is no
    language model and says nothing of one. `doubt` is the spread of its answers around +3 and -3.
    """

    def __init__(self, rows: Sequence[tuple[str, Pair]], doubt: float):
        self._kind = {frozenset((_words(p.newer.text), _words(p.earlier.text))): kind for kind, p in rows}
        self._doubt = doubt

    def write(self, prompt: str) -> str:
        return json.dumps({"changed": "Something has changed since it was told first."})

    def lean(self, prompt: str) -> float:
        text = prompt.split("<|user|>")[-1]
        parts = [text.split(f"<{tag}>")[1].split(f"</{tag}>")[0] for tag in ("earlier", "newer")]
        kind = self._kind[frozenset(_words(part) for part in parts)]
        truth = {
            "very claim": kind != "hard_negative",
            "nothing of weight": kind == "paraphrase",
            "has become of": kind == "update",
            "is wrong": kind == "contradiction",
            "adds": False,
        }
        question = text.rsplit("</newer>", 1)[1]
        right = next((value for words, value in truth.items() if words in question), False)
        draw = random.Random(hashlib.sha256(prompt.encode()).digest()).gauss(0.0, self._doubt)
        return (3.0 if right else -3.0) + draw


def _words(text: str) -> str:
    """What is left of an insight's text in a prompt and outside of it alike."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower())[-12:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--llm-url")
    parser.add_argument("--most", type=int, help="only so many pairs for the served model")
    args = parser.parse_args()
    rows = pairs(args.shared)
    kinds = [kind for kind, _ in rows]
    print(f"{'judge':34}{'recall':>7}{'false merges':>13}   of negatives, contradictions, updates   named upd. contr.")
    for gate in (ASKED, GATE, SAME):
        print(table(f"cosine >= {gate:.2f}", ["same" if p.cosine >= gate else "" for _, p in rows], kinds))
    print(table("words (no model)", _kinds(WordsJudge(), [p for _, p in rows]), kinds))
    for doubt in (1.0, 3.0, 6.0):
        with FakeSglang(Sure(rows, doubt)) as server:
            _model(f"stand-in, {_right(doubt):.0%} of answers right", server.url, rows)
    if args.llm_url:
        _model("served model", args.llm_url, rows[: args.most])


def _right(doubt: float) -> float:
    return 0.5 * (1 + math.erf(3.0 / doubt / math.sqrt(2)))


def _model(name: str, url: str, rows: Sequence[tuple[str, Pair]]) -> None:
    """Two lines: of all pairs, and of those alone that pass the gate, which is what the product asks about."""
    settings = LlmSettings.model_validate({"url": url})
    said = _kinds(ModelJudge(lambda: open_model(settings)), [p for _, p in rows])
    kinds = [kind for kind, _ in rows]
    print(table(name, said, kinds))
    gated = [s if p.cosine >= ASKED else "" for s, (_, p) in zip(said, rows, strict=True)]
    print(table("  past the gate", gated, kinds))


def _kinds(judge: Judge, asked: Sequence[Pair]) -> list[str]:
    return [v.kind for v in judge.decide(asked)]


if __name__ == "__main__":
    main()
