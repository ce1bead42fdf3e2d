"""Search and related insights on many made-up insights: p50, p95, sizes, and recall against looking at all of them.

    python bench/search.py --count 1000000                       # SQLite, numpy
    python bench/search.py --count 100000 --postgres             # pgvector beside it, on a server of the tests' own

"related" is what each new insight costs when it is stored (`store.vectors.nearest`, the last year), "meaning" and
"words" are a search page's two halves (`store.search`). Recall is the share of the exact ten nearest that are found;
exact is numpy over all vectors in memory, whose time is the named peer of the ratio. On SQLite "every row" reads all
vectors of the year for each question, which is what a database without an index of vectors does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import text

from bench import made_up
from pipeline.store.database import Database, open_url
from pipeline.store.query import parse
from pipeline.store.search import NEAR, Filters, open_index
from pipeline.store.sketch import Bounds, Sketch
from pipeline.store.tables import DIMENSIONS
from pipeline.store.vectors import NumpyVectors
from pipeline.store.vectors import vectors as nearest_of

QUERIES = 20
K = 10


def timed(do: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    found = do()
    return found, time.perf_counter() - begun


def percentiles(seconds: list[float]) -> str:
    a = np.sort(np.array(seconds)) * 1000
    return f"p50 {np.percentile(a, 50):9.1f} ms   p95 {np.percentile(a, 95):9.1f} ms"


def exact(count: int, asked: np.ndarray[Any, Any]) -> tuple[list[dict[int, float]], list[float]]:
    """Ids and cosines of the K nearest of every vector, in memory, and the seconds of each look."""
    everything = np.concatenate([made_up.vectors(min(8_000, count - k), k + 7) for k in range(0, count, 8_000)])
    found, seconds = [], []
    for q in asked:
        top, s = timed(lambda q=q: np.argpartition(-(everything @ q), K)[:K])  # type: ignore[misc]
        found.append({int(i) + 1: float(everything[i] @ q) for i in top})
        seconds.append(s)
    return found, seconds


def measure(db: Database, name: str, asked: np.ndarray[Any, Any], true: list[dict[int, float]], peer: float) -> None:
    index = open_index(db)
    since = made_up.END - timedelta(days=366)
    related, meaning, words, hit, hit_meaning, of_meaning = [], [], [], 0, 0, 0
    with db.begin(reads=True) as conn:
        _, first = timed(lambda: index.by_meaning(conn, asked[0], Filters()))
        for q, wanted in zip(asked, true, strict=True):
            (got,), s = timed(lambda q=q: nearest_of(conn).nearest(conn, [q], K, since=since))  # type: ignore[misc]
            related.append(s)
            hit += len({n.insight_id for n in got} & wanted.keys())
            near, s = timed(lambda q=q: index.by_meaning(conn, q, Filters()))  # type: ignore[misc]
            meaning.append(s)
            fair = {i for i, cosine in wanted.items() if cosine >= NEAR}  # what is farther is no answer
            of_meaning += len(fair)
            hit_meaning += len({i for i, _ in near[:K]} & fair)
        rng = np.random.default_rng(3)
        for _ in asked:
            query = parse(made_up.sentence(rng, 2))
            words.append(timed(lambda query=query: index.by_words(conn, query, Filters()))[1])  # type: ignore[misc]
    of = K * len(asked)
    print(
        f"{name:10} related {percentiles(related)}   recall@{K} {hit / of:.3f}   "
        f"{np.median(related) / peer:8.1f} x exact in memory"
    )
    print(
        f"{'':10} meaning {percentiles(meaning)}   recall@{K} {hit_meaning / max(1, of_meaning):.3f}   "
        f"the first one {first:.1f} s"
    )
    print(f"{'':10} words   {percentiles(words)}")


def of_file(db: Database, path: Path, asked: np.ndarray[Any, Any], peer: float) -> None:
    """A new process's first look, with and without the sketch's file; and what it takes to read every row."""
    since = made_up.END - timedelta(days=366)
    with db.begin(reads=True) as conn:
        if path.exists():
            _, again = timed(lambda: Sketch(path).nearest(conn, [asked[0]], K, Bounds()))
            print(f"{'':10} a new process: first look {again:.2f} s by the file of {path.stat().st_size / 1e6:.0f} MB")
        every = [timed(lambda q=q: NumpyVectors().nearest(conn, [q], K, since=since))[1] for q in asked[:3]]  # type: ignore[misc]
    print(
        f"{'every row':10} related {percentiles(every)}   {np.median(every) / peer:8.1f} x exact in memory", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--postgres", action="store_true", help="pgvector too")
    parser.add_argument("--no-sqlite", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the SQLite file goes (default: a temporary one)")
    given = parser.parse_args()
    asked = made_up.vectors(QUERIES, 99)
    true, peer = exact(given.count, asked)
    print(f"{given.count:,} insights, {DIMENSIONS} dimensions; exact in memory {percentiles(peer)}", flush=True)
    with TemporaryDirectory(dir=given.folder) as folder:
        if not given.no_sqlite:
            path = Path(folder) / "bench.db"
            db = open_url(f"sqlite:///{path}")
            _, s = timed(lambda: made_up.fill(db, given.count))
            print(
                f"sqlite     filled in {s:.0f} s, {given.count / s:.0f}/s, file {path.stat().st_size / 1e6:.0f} MB",
                flush=True,
            )
            measure(db, "sqlite", asked, true, float(np.median(peer)))
            of_file(db, Path(f"{path}-sketch.npz"), asked, float(np.median(peer)))
            db.close()
    if given.postgres:
        from tests import postgres

        with postgres.server() as server, postgres.database(server) as url:
            db = open_url(url.replace("postgresql://", "postgresql+psycopg://"))
            with db.begin() as conn:
                conn.execute(text("DROP INDEX ix_insight_vector"))
            _, s = timed(lambda: made_up.fill(db, given.count))
            with db.begin() as conn:
                conn.execute(text("SET LOCAL maintenance_work_mem = '2GB'"))
                _, built = timed(
                    lambda: conn.execute(
                        text("CREATE INDEX ix_insight_vector ON insight USING hnsw (vector vector_cosine_ops)")
                    )
                )
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                conn.execute(text("VACUUM ANALYZE"))
                sizes = conn.execute(
                    text(
                        "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname LIKE '%insight%' "
                        "AND relkind IN ('r', 'i') ORDER BY 2 DESC LIMIT 4"
                    )
                ).all()
            told = ", ".join(f"{n} {b / 1e6:.0f} MB" for n, b in sizes)
            print(f"pgvector   filled in {s:.0f} s, HNSW built in {built:.0f} s; {told}", flush=True)
            measure(db, "pgvector", asked, true, float(np.median(peer)))
            db.close()


if __name__ == "__main__":
    main()
