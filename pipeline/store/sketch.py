"""One bit a dimension of every insight's vector, in memory: what SQLite has instead of a vector index.

A look at a million of them takes some 20 ms; the nearest thousand by their bits are then read and compared exactly. It
is kept up to date by what has been added since, and in a file beside the database, so that a start does not read every
vector again. Losing the file costs one slow look.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sqlalchemy import Connection, Pool, Row, Select, select

from pipeline.store.insights import Vector
from pipeline.store.tables import DIMENSIONS, episode, insight

log = logging.getLogger(__name__)
READ = 1_000
"""So many are compared exactly: at a million made-up insights ten of ten nearest are among them (docs/scale.md)."""
SAVE = 5_000
"""The file is written again after so many new ones, and after a twentieth."""
BATCH = 2_000
COARSE = 10
_WORDS, _OUTSIDE = DIMENSIONS // 64, DIMENSIONS + 1
_AGES_AGO = -(2**62)
_BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32)
Array = np.ndarray[Any, Any]
_KNOWN: WeakKeyDictionary[Pool, Sketch] = WeakKeyDictionary()
_OPENING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is looked at; None leaves it open. Times are of the episode's publication."""

    feed_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    not_of: int | None = None
    """An episode that is left out."""


def of(conn: Connection) -> Sketch:
    """The sketch of this connection's database, one a process."""
    pool = conn.engine.pool
    with _OPENING:
        if pool not in _KNOWN:
            path = conn.engine.url.database
            _KNOWN[pool] = Sketch(Path(path + "-sketch.npz") if path and path != ":memory:" else None)
        return _KNOWN[pool]


class Sketch:
    """Rows in the order of their ids. `columns` are `id`, `made` and `published` (µs since 1970), `feed`, `episode`."""

    def __init__(self, path: Path | None):
        self._path = path
        self._lock = threading.Lock()
        self._n, self._saved = 0, 0
        self._columns = _empty(0)
        self._bits = np.zeros((_WORDS, 0), dtype=np.uint64)
        self._opened = False

    def nearest(
        self, conn: Connection, vectors: Sequence[Vector], k: int, bounds: Bounds, read: int = READ
    ) -> list[list[tuple[int, float]]]:
        """For each unit vector up to `k` ids with their cosines, likest first, as the database has them now."""
        with self._lock:
            self._sync(conn)
            columns, bits, n = self._columns, self._bits, self._n
        inside = _inside(columns[:n], bounds)
        return [self._exact(conn, v, columns["id"][_closest(bits[:, :n], v, inside, read)], k, bounds) for v in vectors]

    def _exact(self, conn: Connection, wanted: Vector, ids: Array, k: int, bounds: Bounds) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        for first in range(0, len(ids), 500):
            query = select(insight.c.id, insight.c.vector).where(insight.c.id.in_(ids[first : first + 500].tolist()))
            rows = conn.execute(_limited(query, bounds)).all()
            cosines = np.einsum("ij,j->i", _matrix(rows), wanted)  # BLAS would start threads for it
            found += zip((r.id for r in rows), cosines.tolist(), strict=True)
        return sorted(found, key=lambda f: (-f[1], f[0]))[:k]

    # --- keeping up ---

    def _sync(self, conn: Connection) -> None:
        if not self._opened:
            self._opened = True
            self._open(conn)
        self._n = _still(conn, self._columns[: self._n])
        last = int(self._columns["id"][self._n - 1]) if self._n else 0
        query = _rows().where(insight.c.id > last).order_by(insight.c.id)
        for part in conn.execution_options(yield_per=BATCH).execute(query).partitions():
            self._append([r for r in part if len(r.vector) == 4 * DIMENSIONS])
        if abs(self._n - self._saved) >= max(SAVE, self._saved // 20):
            self._save()

    def _append(self, rows: Sequence[Row[Any]]) -> None:
        end = self._n + len(rows)
        if end > len(self._columns):
            # Grown in a copy: who looks at this moment has the old one.
            room = max(end, 2 * len(self._columns), 1_024)
            columns, bits = _empty(room), np.zeros((_WORDS, room), dtype=np.uint64)
            columns[: self._n], bits[:, : self._n] = self._columns[: self._n], self._bits[:, : self._n]
            self._columns, self._bits = columns, bits
        for k, r in enumerate(rows, self._n):
            self._columns[k] = (r.id, _stamp(r.made_at), _stamp(r.published), r.feed_id, r.episode_id)
        if rows:
            self._bits[:, self._n : end] = _bits(_matrix(rows))
        self._n = end

    def _open(self, conn: Connection) -> None:
        if self._path is None or not self._path.exists():
            return
        try:
            with self._path.open("rb") as f, np.load(f, allow_pickle=False) as stored:
                columns, bits = stored["columns"], stored["bits"]
            known = (
                columns.dtype == _empty(0).dtype and bits.shape == (_WORDS, len(columns)) and bits.dtype == np.uint64
            )
        except Exception as e:  # whatever is wrong with it, it is made anew
            log.warning("%s is made anew: %s", self._path.name, e)
            return
        if known and _is_of(conn, columns):
            self._columns, self._bits, self._n, self._saved = columns, bits, len(columns), len(columns)

    def _save(self) -> None:
        if self._path is None:
            return
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                np.savez(f, columns=self._columns[: self._n], bits=self._bits[:, : self._n])
            new.replace(self._path)
        except OSError as e:
            log.warning("%s was not kept: %s", self._path.name, e)
            new.unlink(missing_ok=True)
        self._saved = self._n


def _empty(n: int) -> Array:
    return np.zeros(
        n, dtype=[("id", "<i8"), ("made", "<i8"), ("published", "<i8"), ("feed", "<i4"), ("episode", "<i4")]
    )


def _stamp(at: datetime | None) -> int:
    return _AGES_AGO if at is None else round((at - _EPOCH).total_seconds() * 1e6)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _matrix(rows: Sequence[Row[Any]]) -> Array:
    return np.frombuffer(b"".join(r.vector for r in rows), "<f4").reshape(len(rows), DIMENSIONS)


def _bits(vectors: Array) -> Array:
    """The signs of m vectors, shape (_WORDS, m)."""
    packed: Array = np.packbits(vectors > 0, axis=1).view(np.uint64).T
    return packed


def _closest(bits: Array, wanted: Vector, inside: Array | None, most: int) -> Array:
    """Places of the `most` rows that are nearest by their bits: by the number that differ, and of ten times as many by
    what their signs and the numbers of `wanted` come to, whose error is half as large."""
    far = np.zeros(bits.shape[1], dtype=np.uint16)
    for mine, its in zip(bits, _bits(wanted[None, :])[:, 0], strict=True):
        far += np.bitwise_count(mine ^ its)
    if inside is not None:
        far[~inside] = _OUTSIDE
    places = _lowest(far, COARSE * most)
    if len(places) > most:
        # Of each byte's 256 values what they add: eight numbers are looked up at once.
        adds = _BYTES @ wanted.reshape(-1, 8).T
        packed = np.ascontiguousarray(bits[:, places].T).view(np.uint8)
        sums = adds[packed, np.arange(packed.shape[1])].sum(axis=1)
        places = places[np.argpartition(-sums, most)[:most]]
    return places


def _lowest(far: Array, most: int) -> Array:
    """Places of the lowest, by counting: sorting a million takes longer than looking at them."""
    limit = int(np.searchsorted(np.cumsum(np.bincount(far, minlength=_OUTSIDE)[:_OUTSIDE]), most))
    nearer = np.flatnonzero(far < min(limit, _OUTSIDE))
    equal = np.flatnonzero(far == limit) if limit < _OUTSIDE else nearer[:0]
    places: Array = np.concatenate([nearer, equal[: most - len(nearer)]])
    return places


def _inside(columns: Array, b: Bounds) -> Array | None:
    parts = []
    if b.feed_id is not None:
        parts.append(columns["feed"] == b.feed_id)
    if b.since is not None:
        parts.append(columns["published"] >= _stamp(b.since))
    if b.until is not None:
        parts.append(columns["published"] < _stamp(b.until))
    if b.not_of is not None:
        parts.append(columns["episode"] != b.not_of)
    return None if not parts else np.logical_and.reduce(parts)


def _limited(query: Select[Any], b: Bounds) -> Select[Any]:
    query = query.join(episode, episode.c.id == insight.c.episode_id).where(insight.c.vector.is_not(None))
    if b.feed_id is not None:
        query = query.where(episode.c.feed_id == b.feed_id)
    if b.since is not None:
        query = query.where(episode.c.published >= b.since)
    if b.until is not None:
        query = query.where(episode.c.published < b.until)
    return query if b.not_of is None else query.where(insight.c.episode_id != b.not_of)


def _rows() -> Select[Any]:
    columns = (insight.c.id, insight.c.made_at, episode.c.published, episode.c.feed_id, insight.c.episode_id)
    return _limited(select(*columns, insight.c.vector), Bounds())


def _still(conn: Connection, columns: Array) -> int:
    """How many rows at the front are what the database has. SQLite gives the ids of rows at the end again when they
    have gone, so what is wrong stands at the end: going back from there, in doubled steps, to one that is right."""
    n, step = len(columns), 1
    while n:
        made = conn.execute(select(insight.c.made_at).where(insight.c.id == int(columns["id"][n - 1]))).scalar()
        if made is not None and _stamp(made) == columns["made"][n - 1]:
            break
        n, step = max(0, n - step), 2 * step
    return n


def _is_of(conn: Connection, columns: Array) -> bool:
    """Whether a file is of this database and little of it has gone: of 64 rows all that are there are the same."""
    sample = columns[:: max(1, len(columns) // 64)]
    query = select(insight.c.id, insight.c.made_at).where(insight.c.id.in_(sample["id"].tolist()))
    there = {int(r.id): _stamp(r.made_at) for r in conn.execute(query)}
    same = all(there[int(i)] == made for i, made in zip(sample["id"], sample["made"], strict=True) if int(i) in there)
    return same and 2 * len(there) > len(sample)
