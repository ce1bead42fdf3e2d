"""Rows that tests need, written the way the product writes them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection

from pipeline.insight.relate import text_key
from pipeline.records import (
    Findings,
    InsightDraft,
    Origin,
    ParsedEpisode,
    Sentence,
    StoredInsight,
    Subscriber,
    Transcript,
)
from pipeline.store import episodes, feeds, insights, subscribers, transcripts


def parsed_episode(n: int, published: datetime | None, **changes: object) -> ParsedEpisode:
    values: dict[str, object] = {
        "guid": f"guid-{n}",
        "title": f"Episode {n}",
        "published": published,
        "duration_s": 600.0,
        "enclosure_url": f"https://media.example.org/{n}.mp3",
        "enclosure_type": "audio/mpeg",
        "enclosure_length": 1000,
        "link": f"https://example.org/{n}",
    }
    return ParsedEpisode(**(values | changes))  # type: ignore[arg-type]


def add_episode(conn: Connection, now: datetime, *, show: int = 1, n: int = 1, stage: str = "download") -> int:
    feed_id, _ = feeds.add(conn, f"https://example.org/feed-{show}.xml", now)
    feeds.change(conn, feed_id, {"title": f"Show {show}"})
    return episodes.add(conn, feed_id, f"guid-{n}", parsed_episode(n, now - timedelta(days=1)), stage, None, now)


def stored(n: int, text: str, score: float, at: datetime, *, feed: int, topics: tuple[str, ...] = ()) -> StoredInsight:
    """An insight as a query gives it; `n` is the id, and that of its episode."""
    return StoredInsight(
        id=n, episode_id=n, feed_id=feed, title=f"Title {n}", text=text, quote=text, first=0, last=0, start_s=0.0,
        end_s=1.0, speaker=None, score=score, writer="selecting", model=None, show="Show", episode="Episode",
        episode_url=None, published=at, transcript_source="whisper", topics=topics,
    )  # fmt: skip


def draft(text: str, score: float = 0.5, title: str | None = None) -> InsightDraft:
    return InsightDraft(title or text[:40], text, text, (0,), 0, 0, 10.0, 20.0, "Ada", score)


def add_insights(
    conn: Connection, now: datetime, texts: list[str], *, show: int = 1, n: int = 1, scores: list[float] | None = None
) -> list[int]:
    """An episode of `show` that is done, with one insight a text."""
    episode_id = add_episode(conn, now, show=show, n=n, stage="done")
    sentences = tuple(Sentence(k, 10.0 * k, 10.0 * k + 9, t, "Ada") for k, t in enumerate(texts))
    transcripts.save(conn, episode_id, Transcript("en", 600.0, sentences, "publisher"), now)
    drafts = tuple(draft(t, s) for t, s in zip(texts, scores or [0.5] * len(texts), strict=True))
    found = Findings(Origin("selecting"), (), drafts)
    rng = np.random.default_rng(n * 100 + show)
    vectors = [v / np.linalg.norm(v) for v in rng.normal(size=(len(texts), 384)).astype(np.float32)]
    return insights.save(conn, episode_id, found, [text_key(t) for t in texts], vectors, now)


def add_subscriber(conn: Connection, now: datetime, email: str = "reader@example.org", **changes: object) -> Subscriber:
    row: dict[str, object] = {
        "email": email,
        "state": "active",
        "time_zone": "UTC",
        "hour": 7,
        "minute": 0,
        "count": 5,
        "nonce": "n" * 32,
        "created_at": now,
        "next_digest_at": now,
    }
    return subscribers.add(conn, row | changes)
