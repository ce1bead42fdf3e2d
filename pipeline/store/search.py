"""Search over insights and transcripts: one Protocol, a SQLite form (FTS5, a sketch) and a PostgreSQL form (tsvector,
pgvector). Words are looked up in both; meaning over the insights, whose vectors are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Float, Select, bindparam, select, text

from pipeline.store import sketch
from pipeline.store.database import Database
from pipeline.store.insights import Vector
from pipeline.store.query import Query
from pipeline.store.sketch import Bounds
from pipeline.store.tables import block, episode, feed, insight, transcript

NEAR = 0.30
"""Below this cosine a short question and an insight have mostly nothing to do with each other."""
DEPTH = 200
"""So many hits of each kind are ranked; nobody reads further."""
_FUSE = 60.0


@dataclass(frozen=True, slots=True)
class Filters:
    """What results are limited to; None leaves it open. Times are of the episode's publication."""

    feed_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def any(self) -> bool:
        return not (self.feed_id is None and self.since is None and self.until is None)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A run of sentences `first..last` of a transcript that has all the words."""

    episode_id: int
    show: str
    episode: str
    published: datetime | None
    first: int
    last: int
    text: str


class SearchIndex(Protocol):
    """Looks things up, best first, at most `DEPTH` of them."""

    def by_words(self, conn: Connection, query: Query, filters: Filters) -> list[int]:
        """Ids of insights in which all terms occur."""
        ...

    def by_meaning(self, conn: Connection, wanted: Vector, filters: Filters) -> list[tuple[int, float]]:
        """Ids of insights near a unit vector (shape (384,)), each with its cosine, at least `NEAR`."""
        ...

    def spoken(self, conn: Connection, query: Query, filters: Filters) -> list[Spoken]:
        """Runs of sentences in which all terms occur."""
        ...


def open_index(db: Database) -> SearchIndex:
    """The form that this database has."""
    return PostgresIndex() if db.on_postgres else SqliteIndex()


def fuse(words: Sequence[int], meaning: Sequence[int]) -> list[int]:
    """One order out of two (reciprocal rank fusion): what both know comes first."""
    scores: dict[int, float] = {}
    for order in (words, meaning):
        for rank, i in enumerate(order):
            scores[i] = scores.get(i, 0.0) + 1.0 / (_FUSE + rank)
    return sorted(scores, key=lambda i: (-scores[i], i))


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    """Needs `episode` in the query."""
    if filters.feed_id is not None:
        query = query.where(episode.c.feed_id == filters.feed_id)
    if filters.since is not None:
        query = query.where(episode.c.published >= filters.since)
    if filters.until is not None:
        query = query.where(episode.c.published < filters.until)
    return query


def _insight_ids(filters: Filters) -> Select[Any]:
    return _filtered(select(insight.c.id).join(episode, episode.c.id == insight.c.episode_id), filters)


def _spoken_rows(filters: Filters) -> Select[Any]:
    columns = (transcript.c.episode_id, feed.c.title.label("show"), episode.c.title, episode.c.published)
    query = (
        select(*columns, block.c.first, block.c.last, block.c.text)
        .join(transcript, transcript.c.id == block.c.transcript_id)
        .join(episode, episode.c.id == transcript.c.episode_id)
        .join(feed, feed.c.id == episode.c.feed_id)
    )
    return _filtered(query, filters)


def _spoken(conn: Connection, query: Select[Any], values: dict[str, Any]) -> list[Spoken]:
    return [
        Spoken(
            r.episode_id, r.show or "Untitled show", r.title or "Untitled episode", r.published, r.first, r.last, r.text
        )
        for r in conn.execute(query.limit(DEPTH), values)
    ]


def fts5(query: Query) -> str:
    """The query in FTS5's language. Terms are words of letters and digits, so quoting them is enough."""
    return " AND ".join('"' + " ".join(t.words) + '"' + ("*" if t.open else "") for t in query.terms)


def tsquery(query: Query) -> str:
    """The query in the language of to_tsquery."""
    return " & ".join(
        "(" + " <-> ".join(f"'{w}'" for w in t.words) + (":*" if t.open else "") + ")" for t in query.terms
    )


class SqliteIndex:
    """FTS5 for words, a sketch of the vectors for meaning."""

    def by_words(self, conn: Connection, query: Query, filters: Filters) -> list[int]:
        if not query.terms:
            return []
        found = _insight_ids(filters).where(text("insight_fts MATCH :words"))
        found = found.join(text("insight_fts"), text("insight_fts.rowid = insight.id"))
        found = found.order_by(text("bm25(insight_fts, 4.0, 1.0, 1.0)"), insight.c.id).limit(DEPTH)
        return list(conn.execute(found, {"words": fts5(query)}).scalars())

    def by_meaning(self, conn: Connection, wanted: Vector, filters: Filters) -> list[tuple[int, float]]:
        bounds = Bounds(filters.feed_id, filters.since, filters.until)
        (found,) = sketch.of(conn).nearest(conn, [wanted], DEPTH, bounds)
        return [(i, cosine) for i, cosine in found if cosine >= NEAR]

    def spoken(self, conn: Connection, query: Query, filters: Filters) -> list[Spoken]:
        if not query.terms:
            return []
        found = _spoken_rows(filters).join(text("block_fts"), text("block_fts.rowid = block.id"))
        found = found.where(text("block_fts MATCH :words")).order_by(text("bm25(block_fts)"), block.c.id)
        return _spoken(conn, found, {"words": fts5(query)})


class PostgresIndex:
    """tsvector for words, pgvector for meaning."""

    def by_words(self, conn: Connection, query: Query, filters: Filters) -> list[int]:
        if not query.terms:
            return []
        found = _insight_ids(filters).where(text("insight.search @@ to_tsquery('simple', :words)"))
        found = found.order_by(text("ts_rank_cd(insight.search, to_tsquery('simple', :words)) DESC"), insight.c.id)
        return list(conn.execute(found.limit(DEPTH), {"words": tsquery(query)}).scalars())

    def by_meaning(self, conn: Connection, wanted: Vector, filters: Filters) -> list[tuple[int, float]]:
        if filters.any() and self._iterates(conn):
            # Else the index's first neighbours are filtered, and a small show among many would seem to have none.
            conn.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
        conn.execute(text(f"SET LOCAL hnsw.ef_search = {DEPTH}"))
        near = insight.c.vector.op("<=>", return_type=Float())(bindparam("wanted", type_=insight.c.vector.type))
        found = _insight_ids(filters).add_columns(near.label("far")).where(insight.c.vector.is_not(None))
        rows = conn.execute(found.order_by(near).limit(DEPTH), {"wanted": wanted.astype("<f4").tobytes()})
        return [(r.id, 1.0 - float(r.far)) for r in rows if 1.0 - r.far >= NEAR]

    def spoken(self, conn: Connection, query: Query, filters: Filters) -> list[Spoken]:
        if not query.terms:
            return []
        found = _spoken_rows(filters).where(text("block.search @@ to_tsquery('simple', :words)"))
        found = found.order_by(text("ts_rank_cd(block.search, to_tsquery('simple', :words)) DESC"), block.c.id)
        return _spoken(conn, found, {"words": tsquery(query)})

    def _iterates(self, conn: Connection) -> bool:
        at = str(conn.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")).scalar() or "0")
        return tuple(int(p) for p in at.split(".")[:2] if p.isdecimal()) >= (0, 8)
