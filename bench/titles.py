"""How near the selecting writer's titles are to those that a large model wrote for the same passages.

    python -m bench.titles ../shared              # figures
    python -m bench.titles ../shared --show 20    # and titles side by side

For each written insight of the graded episodes the sentences around its quote are given a title, once by how its
clauses read alone, once with their meaning as well, as the product does it. What is measured is the mean cosine
(MiniLM) of our title and the written one. It says whether a title is about the right thing, not whether it reads well.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.train_ranker import read_transcript
from pipeline import weights
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.excerpt import MIN_WORDS
from pipeline.insight.passage import words
from pipeline.insight.title import title_of
from pipeline.records import Sentence
from pipeline.resources import resource


def passages(shared: Path) -> Iterator[tuple[str, list[str]]]:
    """A written title and the sentences that its quote stands in, at least MIN_WORDS words of them."""
    for path in sorted((shared / "gold").glob("*.json")):
        gold = json.loads(path.read_text("utf-8"))
        said = read_transcript(shared / "transcripts" / path.name).sentences
        for insight in gold["insights"]:
            first, last = (gold["spans"][w] for w in insight["windows"])
            found = around(insight, said[first[0] : last[1] + 1])
            if found:
                yield insight["title"], found


def around(insight: Any, inside: tuple[Sentence, ...]) -> list[str]:
    """The sentences of a window that share words with the quote, and their neighbours up to MIN_WORDS words."""
    quote = insight["quote"]
    hits = [k for k, s in enumerate(inside) if s.text and (s.text[:40] in quote or quote[:40] in s.text)]
    if not hits:
        return []
    first, last = hits[0], hits[-1]
    while sum(words(s.text) for s in inside[first : last + 1]) < MIN_WORDS and (first or last + 1 < len(inside)):
        first, last = (first, last + 1) if last + 1 < len(inside) else (first - 1, last)
    return [s.text for s in inside[first : last + 1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with gold/ and transcripts/")
    parser.add_argument("--show", type=int, default=0, help="print so many, drawn by a seed")
    given = parser.parse_args()
    embedder = MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))
    rows = [(written, title_of(s), title_of(s, embedder.embed)) for written, s in passages(given.shared)]
    vectors = [embedder.embed([row[k] for row in rows]) for k in range(3)]
    print(f"{len(rows)} passages; mean cosine with the written title")
    for name, ours in (("by reading alone", vectors[1]), ("with meaning", vectors[2])):
        near = (vectors[0] * ours).sum(axis=1)
        print(f"  {name:18} {near.mean():.3f} ± {near.std() / np.sqrt(len(near)):.3f}")
    changed = [row for row in rows if row[1] != row[2]]
    print(f"  {len(changed)} titles differ")
    for written, alone, meant in random.Random(0).sample(rows, min(given.show, len(rows))):
        print(f"\nwritten {written}\nours    {meant}" + (f"\nalone   {alone}" if alone != meant else ""))


if __name__ == "__main__":
    main()
