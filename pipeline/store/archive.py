"""What the reader pages show: days, insights with their talk, episodes, shows, topics. Nothing of any subscriber."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, distinct, func, select

from pipeline.errors import NotFoundError
from pipeline.records import Sentence, StoredInsight
from pipeline.store import blocks, insights
from pipeline.store.tables import digest, digest_item, episode, feed, feed_tag, insight, transcript

MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Day:
    """A day on which digests were built (ISO date), and how many different insights they carried."""

    date: str
    insights: int


@dataclass(frozen=True, slots=True)
class Told:
    """An insight as digests carried it: the best place it had, and what made it an update."""

    insight: StoredInsight
    kind: str = "new"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """Where an episode can be heard. `url` is None when the address is a private one."""

    url: str | None
    type: str | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Show:
    """A show with what is known of it."""

    id: int
    title: str
    link: str | None
    language: str | None
    episodes: int
    insights: int
    newest: datetime | None
    tags: tuple[str, ...] = ()


def days(conn: Connection, *, before: str | None = None, limit: int = 30) -> list[Day]:
    """Days with digests, newest first."""
    query = (
        select(digest.c.local_date, func.count(distinct(digest_item.c.insight_id)))
        .join(digest_item, digest_item.c.digest_id == digest.c.id)
        .group_by(digest.c.local_date)
        .order_by(digest.c.local_date.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(digest.c.local_date < before)
    return [Day(str(r[0]), int(r[1])) for r in conn.execute(query)]


def of_days(conn: Connection, dates: Sequence[str], limit: int = 100) -> dict[str, list[Told]]:
    """What the digests of these days carried, by day: what most people got first, then the better placed."""
    if not dates:
        return {}
    people, place = func.count().label("people"), func.min(digest_item.c.position).label("place")
    query = (
        select(digest.c.local_date, digest_item.c.insight_id, people, place, func.max(digest_item.c.kind).label("kind"))
        .join(digest_item, digest_item.c.digest_id == digest.c.id)
        .where(digest.c.local_date.in_(dates))
        .group_by(digest.c.local_date, digest_item.c.insight_id)
        .order_by(digest.c.local_date.desc(), people.desc(), place, digest_item.c.insight_id)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    stored = insights.by_id(conn, sorted({r.insight_id for r in rows}))
    told: dict[str, list[Told]] = {d: [] for d in dates}
    for r in rows:
        if r.insight_id in stored:
            told[r.local_date].append(Told(stored[r.insight_id], r.kind))
    return told


def neighbours(conn: Connection, day: date) -> tuple[str | None, str | None]:
    """The days with digests just before and just after a day."""
    iso = day.isoformat()
    before = conn.execute(select(func.max(digest.c.local_date)).where(digest.c.local_date < iso)).scalar()
    after = conn.execute(select(func.min(digest.c.local_date)).where(digest.c.local_date > iso)).scalar()
    return before, after


def insight_row(conn: Connection, insight_id: int) -> tuple[StoredInsight, dict[str, Any]]:
    """An insight, and its row with evidence and origin. Raises NotFoundError."""
    stored = insights.by_id(conn, [insight_id]) if 0 < insight_id <= MAX_ID else {}
    if insight_id not in stored:
        raise NotFoundError("There is no such insight", why="it was never there, or its show was removed")
    row = conn.execute(select(insight).where(insight.c.id == insight_id)).one()
    return stored[insight_id], dict(row._mapping)


def sent_on(conn: Connection, insight_id: int) -> list[str]:
    """The days whose digests carried an insight, oldest first."""
    query = select(digest.c.local_date).distinct().join(digest_item, digest_item.c.digest_id == digest.c.id)
    return sorted(conn.execute(query.where(digest_item.c.insight_id == insight_id)).scalars())


def sound(conn: Connection, episode_id: int) -> Sound:
    """Where to hear an episode. A private feed's audio is its subscriber's alone, so it is not given away."""
    columns = (episode.c.enclosure_url, episode.c.enclosure_type, episode.c.audio_s, episode.c.duration_s)
    query = select(*columns, feed.c.credentials).join(feed, feed.c.id == episode.c.feed_id)
    r = conn.execute(query.where(episode.c.id == episode_id)).one()
    open_ = r.credentials is None and r.enclosure_url.startswith(("https://", "http://"))
    return Sound(r.enclosure_url if open_ else None, r.enclosure_type, r.audio_s or r.duration_s)


def around(conn: Connection, i: StoredInsight, margin: int = 4) -> list[Sentence]:
    """The talk that an insight stands in, with `margin` sentences on each side."""
    return blocks.of_sentences(conn, i.episode_id, i.first - margin, i.last + margin)


def episode_row(conn: Connection, episode_id: int) -> dict[str, Any]:
    """An episode with its show, as far as readers may see it. Raises NotFoundError."""
    names = ("id", "feed_id", "title", "published", "link", "description", "stage", "chapters", "duration_s", "audio_s")
    heard = (transcript.c.source, transcript.c.model, transcript.c.language)
    query = (
        select(*(episode.c[n] for n in names), feed.c.title.label("show"), *heard)
        .join(feed, feed.c.id == episode.c.feed_id)
        .outerjoin(transcript, transcript.c.episode_id == episode.c.id)
    )
    row = conn.execute(query.where(episode.c.id == episode_id)).first() if 0 < episode_id <= MAX_ID else None
    if row is None:
        raise NotFoundError("There is no such episode", why="it was never there, or its show was removed")
    return dict(row._mapping)


def sentences(conn: Connection, episode_id: int) -> list[Sentence]:
    """An episode's whole transcript; empty when there is none."""
    return blocks.of_sentences(conn, episode_id, 0, MAX_ID)


def episodes_of(conn: Connection, feed_id: int, limit: int = 100) -> list[dict[str, Any]]:
    """A show's episodes that have been read, newest first, each with its number of insights."""
    counted = select(func.count()).where(insight.c.episode_id == episode.c.id).scalar_subquery()
    query = (
        select(episode.c.id, episode.c.title, episode.c.published, episode.c.audio_s, counted.label("insights"))
        .where(episode.c.feed_id == feed_id, episode.c.stage == "done")
        .order_by(episode.c.published.desc(), episode.c.id.desc())
        .limit(limit)
    )
    return [dict(r._mapping) for r in conn.execute(query)]


def shows(conn: Connection, feed_id: int | None = None) -> list[Show]:
    """Every show (or one), by title."""
    done = select(func.count()).where(episode.c.feed_id == feed.c.id, episode.c.stage == "done").scalar_subquery()
    found = (
        select(func.count())
        .select_from(insight.join(episode, episode.c.id == insight.c.episode_id))
        .where(episode.c.feed_id == feed.c.id)
        .scalar_subquery()
    )
    newest = (
        select(func.max(episode.c.published))
        .where(episode.c.feed_id == feed.c.id, episode.c.stage == "done")
        .scalar_subquery()
    )
    query = select(
        feed.c.id,
        feed.c.title,
        feed.c.link,
        feed.c.language,
        done.label("done"),
        found.label("found"),
        newest.label("newest"),
    )
    if feed_id is not None:
        query = query.where(feed.c.id == feed_id)
    rows = conn.execute(query.order_by(func.lower(feed.c.title), feed.c.id)).all()
    tags: dict[int, list[str]] = {}
    for t in conn.execute(select(feed_tag).order_by(feed_tag.c.tag)):
        tags.setdefault(t.feed_id, []).append(t.tag)
    return [
        Show(r.id, r.title or "Untitled show", r.link, r.language, r.done, r.found, r.newest, tuple(tags.get(r.id, ())))
        for r in rows
    ]


def show(conn: Connection, feed_id: int) -> Show:
    """One show. Raises NotFoundError."""
    found = shows(conn, feed_id) if 0 < feed_id <= MAX_ID else []
    if not found:
        raise NotFoundError("There is no such show", why="it was never there, or was removed")
    return found[0]


def _topic_values(conn: Connection) -> Any:
    each = func.json_array_elements_text if conn.dialect.name == "postgresql" else func.json_each
    return each(insight.c.topics).table_valued("value")


def topics(conn: Connection, limit: int = 200) -> list[tuple[str, int]]:
    """Topics with how many insights have them, the most frequent first."""
    value = _topic_values(conn)
    n = func.count(distinct(insight.c.id))
    query = select(value.c.value, n).select_from(insight.join(value, insight.c.id == insight.c.id))
    rows = conn.execute(query.group_by(value.c.value).order_by(n.desc(), value.c.value).limit(limit))
    return [(str(r[0]), int(r[1])) for r in rows]


def of_topic(conn: Connection, topic: str, limit: int = 100) -> list[StoredInsight]:
    """Insights with a topic, newest first."""
    value = _topic_values(conn)
    query = (
        select(insight.c.id)
        .distinct()
        .select_from(insight.join(value, insight.c.id == insight.c.id))
        .where(value.c.value == topic)
        .order_by(insight.c.id.desc())
        .limit(limit)
    )
    ids = list(conn.execute(query).scalars())
    found = insights.by_id(conn, ids)
    return sorted(found.values(), key=lambda i: (i.published, i.score), reverse=True)


def digest_row(conn: Connection, digest_id: int) -> dict[str, Any] | None:
    """A frozen digest, None when it is not there."""
    row = conn.execute(select(digest).where(digest.c.id == digest_id)).first() if 0 < digest_id <= MAX_ID else None
    return None if row is None else dict(row._mapping)
