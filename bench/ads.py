"""How many written sponsor reads are found, and how much ordinary talk is taken for one.

    python bench/ads.py ../shared [--seeds 1 2 3] [--phrases-only]

Each read and near miss of shared/sponsor_reads.json is placed into a transcript that no weight was trained on (every
second by name), at a place that the seed draws. Counted by passage, as the writer of insights would cut them: a read is
found when at least half of its words are marked; a passage of it leaks when it could be quoted; a near miss or an
ordinary passage is a false alarm when any word of it is marked. Beside it the few passages that the grades call
promotion. The classifier has seen none of these reads; the phrases of sponsor.py were written with them in view.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.reads import Placed, held_out_files, ordinary, place, promotion
from pipeline import weights
from pipeline.insight.embed import DIMENSIONS, Embedder, MiniLmEmbedder, Vectors
from pipeline.insight.passage import passages
from pipeline.records import Sentence, Transcript
from pipeline.resources import resource
from pipeline.transcript import structure


class Remembering:
    """An embedder that works out no text twice: from seed to seed most windows are the same."""

    def __init__(self, embedder: MiniLmEmbedder) -> None:
        self._embedder, self._known = embedder, dict[str, Vectors]()
        self.name = embedder.name

    def embed(self, texts: Sequence[str]) -> Vectors:
        new = [t for t in dict.fromkeys(texts) if t not in self._known]
        self._known |= zip(new, self._embedder.embed(new), strict=True)
        return np.array([self._known[t] for t in texts], np.float32).reshape(len(texts), DIMENSIONS)


def marked(p: Placed, embedder: Embedder | None) -> tuple[Sentence, ...]:
    return structure.mark(p.sentences, embedder=embedder)[0]


def count(p: Placed, sentences: Sequence[Sentence], total: Counter[str], missed: Counter[str]) -> None:
    for name, (kind, first, last, _) in zip(p.names, p.items, strict=True):
        inside = sentences[first : last + 1]
        words = sum(len(s.text.split()) for s in inside)
        hit = sum(len(s.text.split()) for s in inside if s.mark)
        total[kind] += 1
        total[f"{kind} words"] += words
        total[f"{kind} words marked"] += hit
        found = 2 * hit >= words if kind == "read" else hit > 0
        total[f"{kind} found"] += found
        if found != (kind == "read"):
            missed[f"{kind} {name}"] += 1
    # Passages are cut without the marks, so that a marked one counts as one.
    bare = Transcript(None, 0.0, tuple(replace(s, mark=None) for s in sentences), "publisher")
    for passage in passages(bare):
        span = range(passage.first, passage.last + 1)
        kinds = {p.kinds[n] for n in span}
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        marks = {sentences[n].mark for n in span} - {None}
        total[f"passages {kind}"] += 1
        total[f"passages {kind} any"] += bool(marks)
        total[f"passages {kind} sponsor"] += "sponsor" in marks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--phrases-only", action="store_true", help="as on a machine without the embedding model")
    args = parser.parse_args()
    corpus = json.loads((args.shared / "sponsor_reads.json").read_text("utf-8"))
    texts = [("read", r["text"]) for r in corpus["reads"]] + [("near", r["text"]) for r in corpus["near_misses"]]
    ids = [r["id"] for r in (*corpus["reads"], *corpus["near_misses"])]
    embedder = (
        None if args.phrases_only else Remembering(MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt")))
    )
    talk = [(path, ordinary(path)) for path in held_out_files(args.shared)]
    skipped = {path: promotion(path, args.shared) for path, _ in talk}
    total: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    begun, sentences = time.process_time(), 0
    for seed in args.seeds:
        for p in place(talk, texts, random.Random(seed), skipped):
            count(p, marked(p, embedder), total, missed)
            sentences += len(p.sentences)
    spent = time.process_time() - begun
    print(f"{len(args.seeds)} seeds, {len(talk)} held-out episodes, {sentences} sentences, {spent:.0f} CPU-seconds")
    print(f"reads found      {total['read found']}/{total['read']}")
    print(f"their words      {total['read words marked'] / total['read words']:.1%} marked")
    print(f"near misses hit  {total['near found']}/{total['near']}")
    for kind in ("read", "near", "talk", "skip", "mixed"):
        n = total[f"passages {kind}"]
        if n:
            sponsor, any_ = total[f"passages {kind} sponsor"], total[f"passages {kind} any"]
            name = {"talk": "ordinary", "skip": "graded promotion"}.get(kind, kind)
            print(f"passages, {name:16} {n:6}: sponsor {sponsor} ({sponsor / n:.2%}), any mark {any_} ({any_ / n:.2%})")
    wrong = Counter({f"{k.split()[0]} {ids[int(k.split()[1])]}": n for k, n in missed.items()})
    print("wrong:", ", ".join(f"{name} ({n})" for name, n in sorted(wrong.items())) or "none")


if __name__ == "__main__":
    main()
