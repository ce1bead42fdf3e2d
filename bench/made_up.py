"""Rows for benchmarks: shows, episodes and insights of a made-up year, with vectors that cluster as ideas do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert

from pipeline.store.database import Database
from pipeline.store.tables import DIMENSIONS, episode, feed, insight

END = datetime(2026, 11, 1, tzinfo=UTC)
AN_EPISODE = 8
"""Insights of an episode."""
IDEAS = 2_000
"""Clusters; an insight lies around one of them."""
_WORDS = [
    f"{a}{b}"
    for a in ("ba", "co", "di", "fe", "gu", "ho", "ka", "li", "mo", "nu")
    for b in ("ran", "ster", "vel", "tion", "mek", "dor", "pil", "sun", "tag", "wix", "rop", "zen", "lum", "qua", "jin")
]


def vectors(n: int, seed: int) -> np.ndarray[Any, Any]:
    """`n` unit vectors (float32, n x DIMENSIONS) around IDEAS centres; neighbours of one idea have cosines near 0.6."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((IDEAS, DIMENSIONS), dtype=np.float32)
    rng = np.random.default_rng(seed)
    made = centres[rng.integers(0, IDEAS, n)] + 0.8 * rng.standard_normal((n, DIMENSIONS), dtype=np.float32)
    unit: np.ndarray[Any, Any] = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return unit


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(_WORDS[k] for k in np.minimum(rng.zipf(1.3, words) - 1, len(_WORDS) - 1))


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
        made = vectors(n, done + 7)
        ideas = []
        for k in range(n):
            text = sentence(rng, 45)
            at = rows[(done + k) // AN_EPISODE - first]["published"]
            ideas.append(
                {
                    "id": done + k + 1,
                    "episode_id": (done + k) // AN_EPISODE + 1,
                    "title": sentence(rng, 8),
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
        yield feeds, rows, ideas
        feeds, done = [], done + n


def _put(
    conn: Connection, feeds: list[dict[str, Any]], rows: list[dict[str, Any]], ideas: list[dict[str, Any]]
) -> None:
    for table, values in ((feed, feeds), (episode, rows), (insight, ideas)):
        if values:
            conn.execute(insert(table), values)
