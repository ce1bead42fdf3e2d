"""The sketch of all vectors: what it finds, that it follows what comes and goes, and that its file never misleads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, event

from pipeline.store import sketch, vectors
from pipeline.store.database import Database, open_url
from pipeline.store.insights import Vector
from pipeline.store.sketch import Bounds, Sketch
from pipeline.store.tables import insight
from tests.conftest import NOW
from tests.fakes.rows import add_insights


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    return open_url(f"sqlite:///{tmp_path / 'a.db'}")


def put(db: Database, n: int, count: int, days: int = 0) -> list[int]:
    with db.begin() as conn:
        return add_insights(conn, NOW - timedelta(days=days), [f"Text {n}-{k}" for k in range(count)], show=n % 3, n=n)


def vector(db: Database, i: int) -> Vector:
    with db.begin(reads=True) as conn:
        return np.frombuffer(conn.execute(insight.select().where(insight.c.id == i)).one().vector, "<f4")


def look(s: Sketch, db: Database, wanted: Vector, k: int = 3, read: int = sketch.READ, **bounds: object) -> list[int]:
    with db.begin(reads=True) as conn:
        (found,) = s.nearest(conn, [wanted], k, Bounds(**bounds), read)  # type: ignore[arg-type]
    return [i for i, _ in found]


def test_what_is_read_exactly_is_chosen_by_bits_and_bounds(sqlite: Database) -> None:
    for n in range(1, 7):
        put(sqlite, n, 40, days=n)
    made = sketch.Sketch(None)
    with sqlite.begin(reads=True) as conn:
        rng = np.random.default_rng(3)
        since = NOW - timedelta(days=5, hours=1)
        hit = 0
        for k in range(1, 241, 12):
            near = vector(sqlite, k) + 0.03 * rng.standard_normal(384).astype(np.float32)
            wanted = (near / np.linalg.norm(near)).astype(np.float32)
            (truth,) = vectors.NumpyVectors().nearest(conn, [wanted], 5, since=since, not_of=2)
            (found,) = made.nearest(conn, [wanted], 5, Bounds(since=since, not_of=2))
            assert [i for i, _ in found] == [t.insight_id for t in truth]
            np.testing.assert_allclose([c for _, c in found], [t.cosine for t in truth], atol=1e-6)
            (few,) = made.nearest(conn, [wanted], 1, Bounds(), 24)
            hit += few[0][0] == k
        assert hit == 20  # of a tenth of all, chosen by bits
    assert (
        look(made, sqlite, wanted, 1000, feed_id=1) and look(made, sqlite, wanted, until=NOW - timedelta(days=99)) == []
    )


def test_it_follows_what_comes_and_goes_and_ids_that_come_again(sqlite: Database) -> None:
    first, second = put(sqlite, 1, 5), put(sqlite, 2, 5)
    made = Sketch(None)
    assert look(made, sqlite, vector(sqlite, second[3]), 1) == [second[3]]
    with sqlite.begin() as conn:
        conn.execute(delete(insight).where(insight.c.id.in_(second)))
    again = put(sqlite, 3, 4, days=1)
    assert again == second[:4], "SQLite gives the ids of the last rows again"
    for i in [*first, *again]:
        # Two are read: with the bits of the row that has gone the new one would not be among them.
        assert look(made, sqlite, vector(sqlite, i), 1, read=2) == [i]
    more = put(sqlite, 4, 3)
    assert look(made, sqlite, vector(sqlite, more[2]), 1, read=1) == [more[2]]
    with sqlite.begin() as conn:
        conn.execute(delete(insight))
    assert look(made, sqlite, vector_of(7)) == []


def vector_of(seed: int) -> Vector:
    v = np.random.default_rng(seed).standard_normal(384).astype(np.float32)
    return (v / np.linalg.norm(v)).astype(np.float32)


def test_the_file_saves_reading_and_one_of_another_database_is_not_believed(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketch, "SAVE", 5)
    path = tmp_path / "sketch.npz"
    ids = put(sqlite, 1, 30)
    wanted = vector(sqlite, ids[9])
    assert look(Sketch(path), sqlite, wanted, 1) == [ids[9]]
    assert path.stat().st_mode & 0o777 == 0o600 and not list(tmp_path.glob("*.part"))

    read: list[str] = []
    event.listen(sqlite.engine, "before_cursor_execute", lambda *a: read.append(f"{a[2]} {a[3]}"))
    assert look(Sketch(path), sqlite, wanted, 1, read=1) == [ids[9]]
    loads = [q for q in read if "made_at" in q and "vector" in q]
    assert len(loads) == 1 and f"({ids[-1]}" in loads[0], "it asks for what came after the file"

    other = open_url(f"sqlite:///{tmp_path / 'b.db'}")
    theirs = put(other, 2, 30, days=1)
    for damaged in (path.read_bytes(), path.read_bytes()[:200], b"", b"PK\x03\x04" + b"x" * 500):
        path.write_bytes(damaged)
        assert look(Sketch(path), other, vector(other, theirs[4]), 1, read=1) == [theirs[4]]
    other.close()


def test_a_folder_that_takes_no_file_is_no_trouble(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketch, "SAVE", 5)
    ids = put(sqlite, 1, 30)
    assert look(Sketch(tmp_path / "missing" / "s.npz"), sqlite, vector(sqlite, ids[2]), 1) == [ids[2]]


def test_processes_of_one_database_share_one(sqlite: Database) -> None:
    with sqlite.begin(reads=True) as one:
        mine = sketch.of(one)
    with sqlite.begin() as two:
        assert sketch.of(two) is mine
