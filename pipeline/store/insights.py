"""Insights, what was dropped, and what each subscriber has had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, Select, String, cast, delete, func, insert, select

from pipeline.records import Dropped, Findings, StoredInsight
from pipeline.store.tables import digest_item, episode, feed, insight, insight_drop, ledger, transcript

AT_ONCE = 500
"""Ids in one question."""
Vector = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An insight that a digest may carry, with its vector (384 float32, unit length) and normalised-text key."""

    insight: StoredInsight
    text_key: str
    vector: Vector | None
    games: tuple[float, int] | None = None
    """Won and played against other candidates, where a model compared it."""


@dataclass(frozen=True, slots=True)
class Had:
    """An idea that a subscriber has had."""

    insight_id: int
    text_key: str
    text: str
    vector: Vector | None

    @property
    def key(self) -> str:
        """Which idea it is: ids alone may come again on SQLite."""
        return f"{self.insight_id} {self.text_key}"


def _vector(data: bytes | None) -> Vector | None:
    return None if data is None else np.frombuffer(data, "<f4")


def save(
    conn: Connection, episode_id: int, found: Findings, keys: Sequence[str], vectors: Sequence[Vector], now: datetime
) -> list[int]:
    """Store a writer's findings in place of those of an earlier run that no digest holds. Returns the new ids.

    One that rests on the sentences of an insight that a digest holds says in other words what was sent: it is dropped.
    """
    sent = select(digest_item.c.insight_id)
    conn.execute(delete(insight).where(insight.c.episode_id == episode_id, insight.c.id.not_in(sent)))
    conn.execute(delete(insight_drop).where(insight_drop.c.episode_id == episode_id))
    kept = conn.execute(select(insight.c.evidence).where(insight.c.episode_id == episode_id))
    held = [set(evidence) for evidence in kept.scalars()]
    origin, dropped = found.origin, list(found.dropped)
    ids = []
    for draft, key, vector in zip(found.insights, keys, vectors, strict=True):
        if any(_told_again(set(draft.evidence), other) for other in held):
            dropped.append(Dropped("sent already", draft.title))
            continue
        row = {
            "episode_id": episode_id,
            "title": draft.title,
            "text": draft.text,
            "text_key": key,
            "quote": draft.quote,
            "evidence": list(draft.evidence),
            "first": draft.first,
            "last": draft.last,
            "start_s": draft.start_s,
            "end_s": draft.end_s,
            "speaker": draft.speaker,
            "score": draft.score,
            "topics": list(draft.topics),
            "writer": origin.writer,
            "model": origin.model,
            "revision": origin.revision,
            "quantisation": origin.quantisation,
            "prompt_version": origin.prompt_version,
            "vector": vector.astype("<f4").tobytes(),
            "made_at": now,
        }
        ids.append(int(conn.execute(insert(insight).values(**row).returning(insight.c.id)).scalar_one()))
    for drop in dropped:
        conn.execute(insert(insight_drop).values(episode_id=episode_id, reason=drop.reason, detail=drop.detail, at=now))
    return ids


def _told_again(evidence: set[int], sent: set[int]) -> bool:
    return 2 * len(evidence & sent) >= min(len(evidence), len(sent))


def _joined() -> Select[tuple[object, ...]]:
    return (
        select(
            insight,
            episode.c.feed_id,
            episode.c.title.label("episode_title"),
            episode.c.link,
            episode.c.published,
            episode.c.seen_at,
            episode.c.backfill,
            feed.c.title.label("show"),
            transcript.c.source,
        )
        .join(episode, episode.c.id == insight.c.episode_id)
        .join(feed, feed.c.id == episode.c.feed_id)
        .join(transcript, transcript.c.episode_id == episode.c.id)
    )


def _stored(r: Row[tuple[object, ...]]) -> StoredInsight:
    m = r._mapping
    return StoredInsight(
        id=m["id"],
        episode_id=m["episode_id"],
        feed_id=m["feed_id"],
        title=m["title"],
        text=m["text"],
        quote=m["quote"],
        first=m["first"],
        last=m["last"],
        start_s=m["start_s"],
        end_s=m["end_s"],
        speaker=m["speaker"],
        score=m["score"],
        writer=m["writer"],
        model=m["model"],
        show=m["show"] or "Untitled show",
        episode=m["episode_title"] or "Untitled episode",
        episode_url=m["link"],
        published=m["published"] or m["seen_at"],
        transcript_source=m["source"],
        backfill=m["backfill"],
        topics=tuple(m["topics"]),
    )


def candidates(conn: Connection, since: datetime, until: datetime) -> list[Candidate]:
    """Insights of finished episodes published in `since`..`until`, best first. Future-dated ones wait."""
    query = (
        _joined()
        .where(episode.c.stage == "done", episode.c.backfill.is_(False))
        .where(episode.c.published >= since, episode.c.published <= until)
        .order_by(insight.c.score.desc(), insight.c.id)
    )
    return [Candidate(_stored(r), r._mapping["text_key"], _vector(r._mapping["vector"])) for r in conn.execute(query)]


def with_vectors(conn: Connection, where: ColumnElement[bool]) -> list[Candidate]:
    """Insights that match, with their vectors."""
    rows = conn.execute(_joined().where(where).order_by(insight.c.id))
    return [Candidate(_stored(r), r._mapping["text_key"], _vector(r._mapping["vector"])) for r in rows]


def by_id(conn: Connection, ids: Sequence[int]) -> dict[int, StoredInsight]:
    """Those of these insights that are there."""
    return {c.insight.id: c.insight for c in with_vectors(conn, insight.c.id.in_(ids))} if ids else {}


def of_episode(conn: Connection, episode_id: int) -> list[StoredInsight]:
    """One episode's insights, best first."""
    rows = conn.execute(_joined().where(insight.c.episode_id == episode_id).order_by(insight.c.score.desc()))
    return [_stored(r) for r in rows]


def of_digest(conn: Connection, digest_id: int) -> list[StoredInsight]:
    """A digest's insights in its order."""
    query = _joined().join(digest_item, digest_item.c.insight_id == insight.c.id)
    return [
        _stored(r)
        for r in conn.execute(query.where(digest_item.c.digest_id == digest_id).order_by(digest_item.c.position))
    ]


def written(conn: Connection, since: datetime, most: int) -> dict[str, dict[int, list[tuple[list[int], float]]]]:
    """What language models wrote of episodes since, newest first: by model and episode the evidence and score of each
    insight, of at most so many episodes a model."""
    query = (
        select(insight.c.model, insight.c.episode_id, insight.c.evidence, insight.c.score)
        .join(episode, episode.c.id == insight.c.episode_id)
        .where(insight.c.writer == "moe", insight.c.made_at >= since)
        .order_by(episode.c.published.desc(), insight.c.episode_id.desc(), insight.c.id)
    )
    found: dict[str, dict[int, list[tuple[list[int], float]]]] = {}
    for model, episode_id, evidence, score in conn.execute(query):
        of_model = found.setdefault(model or "unknown", {})
        if episode_id in of_model or len(of_model) < most:
            of_model.setdefault(episode_id, []).append((evidence, score))
    return found


def by_writer(conn: Connection, since: datetime) -> list[dict[str, Any]]:
    """`{writer, model, insights, words}` of the insights made since; words is their mean length."""
    words = func.length(insight.c.text) - func.length(func.replace(insight.c.text, " ", "")) + 1
    query = select(insight.c.writer, insight.c.model, func.count().label("insights"), func.avg(words).label("words"))
    rows = conn.execute(query.where(insight.c.made_at >= since).group_by(insight.c.writer, insight.c.model))
    return [dict(r._mapping) | {"words": round(float(r.words), 1)} for r in rows]


def drops(conn: Connection, since: datetime) -> list[dict[str, Any]]:
    """`{reason, dropped}`: what writers did not keep since then, most first."""
    count = func.count().label("dropped")
    query = select(insight_drop.c.reason, count).where(insight_drop.c.at >= since).group_by(insight_drop.c.reason)
    return [dict(r._mapping) for r in conn.execute(query.order_by(count.desc(), insight_drop.c.reason))]


def had(conn: Connection, subscriber_id: int, *, before: datetime | None = None) -> list[Had]:
    """Every idea that this subscriber has had, or had had by then."""
    query = _had().where(ledger.c.subscriber_id == subscriber_id)
    return _of_ledger(conn, query if before is None else query.where(ledger.c.at < before))


def had_keys(conn: Connection, subscriber_id: int) -> list[str]:
    """`Had.key` of every idea that this subscriber has had, as one value: a thousand rows cost more than their text."""
    key = cast(ledger.c.insight_id, String) + " " + ledger.c.text_key
    query = select(func.aggregate_strings(key, ",")).where(ledger.c.subscriber_id == subscriber_id)
    found: str | None = conn.execute(query).scalar()
    return found.split(",") if found else []


def had_some(conn: Connection, subscriber_id: int, ids: Sequence[int]) -> list[Had]:
    """Those of these ideas that this subscriber has had."""
    found: list[Had] = []
    for k in range(0, len(ids), AT_ONCE):
        of = ledger.c.subscriber_id == subscriber_id, ledger.c.insight_id.in_(ids[k : k + AT_ONCE])
        found += _of_ledger(conn, _had().where(*of))
    return found


def _had() -> Select[Any]:
    return select(ledger.c.insight_id, ledger.c.text_key, ledger.c.text, ledger.c.vector)


def _of_ledger(conn: Connection, query: Select[Any]) -> list[Had]:
    rows = conn.execute(query.order_by(ledger.c.insight_id)).all()
    return [Had(r.insight_id, r.text_key, r.text, _vector(r.vector)) for r in rows]
