"""Insights by the likeness of their vectors: a sketch in memory on SQLite, pgvector on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from sqlalchemy import Connection, Float, bindparam, select, text

from pipeline.store import sketch
from pipeline.store.insights import Vector
from pipeline.store.sketch import Bounds
from pipeline.store.tables import DIMENSIONS, episode, insight

BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Near:
    """An insight and its cosine to what was asked for."""

    insight_id: int
    cosine: float


class Vectors(Protocol):
    """Finds the insights nearest to a vector of unit length, likest first."""

    def nearest(
        self, conn: Connection, vectors: Sequence[Vector], k: int, *, since: datetime, not_of: int | None = None
    ) -> list[list[Near]]:
        """For each vector up to `k` insights of episodes published since, none of episode `not_of`."""
        ...


class SketchVectors:
    """By one bit a dimension, then exactly: `sketch.READ` vectors are read; with fewer insights it is exact."""

    def nearest(
        self, conn: Connection, vectors: Sequence[Vector], k: int, *, since: datetime, not_of: int | None = None
    ) -> list[list[Near]]:
        if not vectors:
            return []
        found = sketch.of(conn).nearest(conn, vectors, k, Bounds(since=since, not_of=not_of))
        return [[Near(i, cosine) for i, cosine in row] for row in found]


class NumpyVectors:
    """Exact: every vector of the period is read, in batches, and compared. What the others are measured against."""

    def nearest(
        self, conn: Connection, vectors: Sequence[Vector], k: int, *, since: datetime, not_of: int | None = None
    ) -> list[list[Near]]:
        if not vectors:
            return []
        asked = np.stack(vectors)
        best: list[list[Near]] = [[] for _ in vectors]
        query = (
            select(insight.c.id, insight.c.vector)
            .join(episode, episode.c.id == insight.c.episode_id)
            .where(insight.c.vector.is_not(None), episode.c.published >= since)
        )
        if not_of is not None:
            query = query.where(insight.c.episode_id != not_of)
        for part in conn.execution_options(yield_per=BATCH).execute(query).partitions():
            rows = [(row.id, row.vector) for row in part if len(row.vector) == 4 * DIMENSIONS]
            if not rows:
                continue
            ids = np.array([i for i, _ in rows])
            cosines = asked @ np.frombuffer(b"".join(v for _, v in rows), "<f4").reshape(-1, DIMENSIONS).T
            for n, row in enumerate(cosines):
                top = np.argpartition(-row, min(k, len(row)) - 1)[:k]
                found = [Near(int(ids[j]), float(row[j])) for j in top]
                best[n] = sorted(best[n] + found, key=lambda f: (-f.cosine, f.insight_id))[:k]
        return best


class PgVectors:
    """By pgvector's HNSW index over cosine distance; approximate on many rows."""

    def nearest(
        self, conn: Connection, vectors: Sequence[Vector], k: int, *, since: datetime, not_of: int | None = None
    ) -> list[list[Near]]:
        # Rows that the filter drops would otherwise be missing from the answer.
        conn.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
        asked = bindparam("asked", type_=insight.c.vector.type)
        distance = insight.c.vector.op("<=>", return_type=Float())(asked)
        query = (
            select(insight.c.id, distance.label("distance"))
            .join(episode, episode.c.id == insight.c.episode_id)
            .where(insight.c.vector.is_not(None), episode.c.published >= since)
            .order_by(distance)
            .limit(k)
        )
        if not_of is not None:
            query = query.where(insight.c.episode_id != not_of)
        return [
            [
                Near(int(r.id), 1.0 - float(r.distance))
                for r in conn.execute(query, {"asked": v.astype("<f4").tobytes()})
            ]
            for v in vectors
        ]


def vectors(conn: Connection) -> Vectors:
    """The form that this connection's database has."""
    return PgVectors() if conn.dialect.name == "postgresql" else SketchVectors()
