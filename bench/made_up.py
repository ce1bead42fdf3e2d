"""Rows for benchmarks: shows, episodes and insights of a made-up year, whose words and vectors behave as real ones.

An idea belongs to a subject; an episode's insights are ideas of one subject. Words come from a vocabulary of 10,000 by
Zipf's law (p ~ 1 / (rank + 2)), a fifth from the 20 words of the subject; a text also has two of 1,000 stock phrases
and half of the time a phrase of its subject. `python -m bench.made_up ../shared` holds them against the 471 insights of
50 real episodes (../shared/gold), embedded by the product's MiniLM; docs/scale.md has what it prints.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert

from pipeline.store.database import Database
from pipeline.store.tables import DIMENSIONS, episode, feed, insight

END = datetime(2026, 11, 1, tzinfo=UTC)
AN_EPISODE = 8
"""Insights of an episode."""
SUBJECTS, A_SUBJECT = 2_000, 50
IDEAS = SUBJECTS * A_SUBJECT
"""Idea k belongs to subject k // A_SUBJECT."""
WORDS = 10_000
PHRASES = 1_000
RUN = 3
COMMON, OF_SUBJECT, OF_IDEA, REST = 0.12, 0.22, 0.36, 0.30
"""Shares of a vector: what all texts have in common, its subject, its idea, and the rest; together 1."""
Array = np.ndarray[Any, Any]


@lru_cache(maxsize=1)
def _language() -> tuple[list[str], Array, Array]:
    """Words, the heap of their likelihoods, and stock phrases (PHRASES x RUN words)."""
    beginnings = [a + b for a in "bcdfghklmnprstvwz" for b in "aeiou"]
    endings = "ran ster vel tion mek dor pil sun tag wix rop zen lum qua jin bel cor dan fil gom".split()  # noqa: SIM905
    words = ["".join(w) for w in itertools.islice(itertools.product(beginnings, beginnings, endings), 3, None, 14)]
    heap = np.cumsum(1 / (np.arange(1, WORDS + 1) + 2))
    stock = np.searchsorted(heap / heap[-1], np.random.default_rng(8).random((PHRASES, RUN)))
    return words[:WORDS], heap / heap[-1], stock


@lru_cache(maxsize=4_096)
def _subject(k: int) -> tuple[Array, Array]:
    """20 words of a subject, and five phrases made of them."""
    rng = np.random.default_rng(k)
    words = rng.integers(200, WORDS, 20)
    return words, words[rng.integers(0, 20, (5, RUN))]


def sentence(rng: np.random.Generator, words: int, idea: int | None = None) -> str:
    """So many words; of an idea's subject where one is given."""
    known, heap, stock = _language()
    said = np.searchsorted(heap, rng.random(words))
    own, phrases = _subject(0 if idea is None else idea // A_SUBJECT)
    if idea is not None:
        mine = rng.random(words) < 0.2
        said[mine] = own[rng.integers(0, len(own), int(mine.sum()))]
    for at in range(words // 8, words - RUN, 20):
        said[at : at + RUN] = stock[rng.integers(PHRASES)]
    if idea is not None and words >= 2 * RUN and rng.random() < 0.55 * min(1.0, words / 45):
        said[-RUN:] = phrases[rng.integers(len(phrases))]
    return " ".join(known[k] for k in said)


def episode_ideas(rng: np.random.Generator, n: int) -> Array:
    """`n` ideas of one subject."""
    found: Array = int(rng.integers(SUBJECTS)) * A_SUBJECT + rng.integers(0, A_SUBJECT, n)
    return found


def ideas(n: int, seed: int) -> Array:
    """Which idea each of `vectors(n, seed)` is of: AN_EPISODE in a row share a subject."""
    rng = np.random.default_rng([seed, 1])
    return np.concatenate([episode_ideas(rng, AN_EPISODE) for _ in range(-(-n // AN_EPISODE))])[:n]


@lru_cache(maxsize=1)
def _space() -> tuple[Array, Array, Array, Array]:
    """Directions: the common one, of each subject, of each idea; and how far each dimension reaches."""
    rng = np.random.default_rng(1)
    reach = (np.arange(1, DIMENSIONS + 1, dtype=np.float32)) ** np.float32(-0.42)
    turn, _ = np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))
    mixed = (reach[:, None] * turn.astype(np.float32)).astype(np.float32)
    made = [_unit(rng.standard_normal((n, DIMENSIONS), dtype=np.float32) @ mixed) for n in (1, SUBJECTS, IDEAS)]
    return made[0][0], made[1], made[2], mixed


def _unit(a: Array) -> Array:
    unit: Array = (a / np.linalg.norm(a, axis=-1, keepdims=True)).astype(np.float32)
    return unit


def vectors(n: int, seed: int, of: Array | None = None) -> Array:
    """`n` unit vectors (float32, n x DIMENSIONS) of the ideas `of`, or of `ideas(n, seed)`."""
    of = ideas(n, seed) if of is None else of
    common, subject, idea, mixed = _space()
    rest = _unit(np.random.default_rng(seed).standard_normal((n, DIMENSIONS), dtype=np.float32) @ mixed)
    root = np.sqrt(np.array([COMMON, OF_SUBJECT, OF_IDEA, REST], dtype=np.float32))
    return _unit(root[0] * common + root[1] * subject[of // A_SUBJECT] + root[2] * idea[of] + root[3] * rest)


def fill(db: Database, insights: int, *, shows: int = 200, days: int = 365, batch: int = 8_000) -> None:
    """Store so many insights, spread evenly over the episodes of a year."""
    for part in parts(insights, shows, days, batch):
        with db.begin() as conn:
            _put(conn, *part)


def parts(
    insights: int, shows: int, days: int, batch: int
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]]:
    feeds = [
        {
            "id": k,
            "url": f"https://example.org/{k}",
            "title": f"Show {k}",
            "state": "paused",
            "error_count": 0,
            "added_at": END - timedelta(days=days),
        }
        for k in range(1, shows + 1)
    ]
    episodes = max(1, insights // AN_EPISODE)
    done = 0
    rng = np.random.default_rng(5)
    while done < insights:
        n = min(batch, insights - done)
        first, last = done // AN_EPISODE, (done + n - 1) // AN_EPISODE
        rows: list[dict[str, Any]] = []
        for e in range(first, last + 1):
            at = END - timedelta(days=days) * (1 - e / episodes)
            rows.append(
                {
                    "id": e + 1,
                    "feed_id": e % shows + 1,
                    "key": str(e),
                    "guid": str(e),
                    "title": f"Episode {e}",
                    "published": at,
                    "enclosure_url": f"https://example.org/{e}.mp3",
                    "transcripts": [],
                    "persons": [],
                    "stage": "done",
                    "attempts": 0,
                    "backfill": False,
                    "seen_at": at,
                    "changed_at": at,
                }
            )
        of, made = ideas(n, done + 7), vectors(n, done + 7)
        stored = []
        for k in range(n):
            text = sentence(rng, 45, int(of[k]))
            at = rows[(done + k) // AN_EPISODE - first]["published"]
            stored.append(
                {
                    "id": done + k + 1,
                    "episode_id": (done + k) // AN_EPISODE + 1,
                    "title": sentence(rng, 8, int(of[k])),
                    "text": text,
                    "text_key": f"{done + k:064}",
                    "quote": text,
                    "evidence": [1],
                    "first": 1,
                    "last": 1,
                    "start_s": 1.0,
                    "end_s": 2.0,
                    "score": 0.5,
                    "topics": [],
                    "writer": "selecting",
                    "vector": made[k].tobytes(),
                    "made_at": at,
                }
            )
        yield feeds, rows, stored
        feeds, done = [], done + n


def _put(
    conn: Connection, feeds: list[dict[str, Any]], rows: list[dict[str, Any]], stored: list[dict[str, Any]]
) -> None:
    for table, values in ((feed, feeds), (episode, rows), (insight, stored)):
        if values:
            conn.execute(insert(table), values)


def _shares(texts: Sequence[str], vectors: Array, owners: Sequence[object]) -> str:
    """Of pairs within an episode and across episodes: how many share a run of words, and how near they are."""
    from pipeline.insight.relate import shingles

    runs = [shingles(t) for t in texts]
    cosines = vectors @ vectors.T
    lines = []
    for name, same in (("one episode", True), ("two episodes", False)):
        pairs = [(a, b) for a, b in itertools.combinations(range(len(texts)), 2) if (owners[a] == owners[b]) is same]
        shared = sum(not runs[a].isdisjoint(runs[b]) for a, b in pairs) / len(pairs)
        near = np.array([cosines[a, b] for a, b in pairs])
        told = " ".join(f"{np.quantile(near, q):6.2f}" for q in (0.01, 0.25, 0.5, 0.75, 0.99, 0.9999))
        lines.append(f"{name:13} {len(pairs):7,} pairs  {shared:7.2%} share a run  cosines {told}")
    return "\n".join(lines)


def main() -> None:
    from pipeline.insight.relate import meanings
    from pipeline.insight.toolbox import Toolbox

    texts, owners = [], []
    for path in sorted((Path(sys.argv[1]) / "gold").glob("*.json")):
        for found in json.loads(path.read_text("utf-8"))["insights"]:
            texts.append(found["insight"])
            owners.append(path.stem)
    print("cosines: 1 %, quartile, median, quartile, 99 %, 99.99 %")
    print(f"real: {len(texts)} insights\n" + _shares(texts, np.stack(meanings(Toolbox().embedder, texts)), owners))
    n, rng = 50 * AN_EPISODE, np.random.default_rng(4)
    of = ideas(n, 6)
    made = [sentence(rng, 45, int(i)) for i in of]
    print(f"made up: {n} insights\n" + _shares(made, vectors(n, 6), [k // AN_EPISODE for k in range(n)]))


if __name__ == "__main__":
    main()
