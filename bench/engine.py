"""The job engines: stage transitions a second against bare updates, and what they cost while nothing waits.

    python -m bench.engine                 # SQLite's in-process runner
    python -m bench.engine --postgres      # and Procrastinate's workers on PostgreSQL

Stages do nothing, so what is measured is the engine: finding what waits, counting the start, the transaction that moves
the episode. The peer of the ratio is a loop of one UPDATE and one COMMIT for each transition, on the same database in
the same run. CPU seconds are of this process (not of the database server).
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import text, update

from bench import made_up
from pipeline.clock import SystemClock
from pipeline.engine.base import Engine
from pipeline.engine.open import open_engine
from pipeline.engine.step import Done, Stage
from pipeline.store import episodes
from pipeline.store.database import Database, open_url
from pipeline.store.tables import episode

IDLE_S = 20.0


def stages() -> tuple[Stage, ...]:
    names = ("download", "transcribe", "extract", "relate", "done")
    return tuple(Stage(a, lambda _id: Done(lambda _conn: None), b, 4, 1) for a, b in pairwise(names))


def timed(do: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    begun, cpu = time.perf_counter(), time.process_time()
    do()
    return time.perf_counter() - begun, time.process_time() - cpu


def bare(db: Database, n: int) -> None:
    for k in range(n):
        with db.begin() as conn:
            conn.execute(
                update(episode).where(episode.c.id == k % 50 + 1, episode.c.stage == "done").values(attempts=0)
            )


def idle(db: Database, engine: Engine) -> tuple[float, float]:
    """CPU seconds an hour, and transactions a second where the database counts them."""

    def commits() -> int:
        with db.begin() as conn:
            if not db.on_postgres:
                return 0
            query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            return int(conn.execute(text(query)).scalar_one())

    thread = threading.Thread(target=lambda: engine.run(until_idle=False))
    before = commits()
    thread.start()
    time.sleep(2)
    _, cpu = timed(lambda: time.sleep(IDLE_S))
    after = commits()
    engine.stop()
    thread.join()
    return cpu / IDLE_S * 3600, (after - before) / (IDLE_S + 2)


def measure(db: Database, name: str, count: int) -> None:
    made_up.fill(db, count * made_up.AN_EPISODE)
    floor, _ = timed(lambda: bare(db, 500))
    with db.begin() as conn:
        conn.execute(update(episode).values(stage="download"))
        episodes.wake(conn, [w.episode_id for w in episodes.wakeups(conn)])
    wall, cpu = timed(lambda: open_engine(db, SystemClock(), stages()).run(until_idle=True))
    with db.begin() as conn:
        assert episodes.counts(conn) == {"done": count}
    moves = 4 * count
    print(
        f"{name:11} {moves / wall:7.0f} transitions/s, {1000 * cpu / moves:6.2f} ms CPU each, "
        f"{(wall / moves) / (floor / 500):5.1f} times a bare update and commit ({500 / floor:.0f}/s)",
        flush=True,
    )
    hour, commits = idle(db, open_engine(db, SystemClock(), stages()))
    print(f"{'':11} idle: {hour:.1f} CPU-s an hour, {commits:.1f} transactions/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="episodes, of four transitions each")
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        db = open_url(f"sqlite:///{Path(folder) / 'bench.db'}")
        measure(db, "sqlite", given.count)
        db.close()
    if given.postgres:
        from tests import postgres

        with postgres.server() as server, postgres.database(server) as url:
            db = open_url(url.replace("postgresql://", "postgresql+psycopg://"))
            measure(db, "postgresql", given.count)
            db.close()


if __name__ == "__main__":
    main()
