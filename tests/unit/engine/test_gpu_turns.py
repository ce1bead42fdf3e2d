"""The turns carried out: memory is freed before the other takes it, what is in hand ends first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import insert, update

from pipeline.clock import FixedClock
from pipeline.engine.gpu_turns import GpuTurns
from pipeline.engine.local import LocalEngine
from pipeline.engine.step import Done, Stage
from pipeline.settings import load
from pipeline.store import backlog, episodes
from pipeline.store.database import Database
from pipeline.store.tables import episode, stage_run
from tests.conftest import NOW
from tests.fakes.rows import add_episode, add_subscriber


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(f"{self.path} {self.rfile.read(int(self.headers['Content-Length'])).decode()}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", asked
        httpd.shutdown()


def add(db: Database, stage: str, count: int, begin: int = 0, audio_s: float = 600.0) -> list[int]:
    with db.begin() as conn:
        ids = [add_episode(conn, NOW, n=begin + k, stage=stage) for k in range(count)]
        conn.execute(update(episode).where(episode.c.id.in_(ids)).values(audio_s=audio_s))
    return ids


def test_what_waits_and_how_fast(db: Database) -> None:
    heard = add(db, "extract", 2)
    add(db, "transcribe", 3, 10)
    with db.begin() as conn:
        add_subscriber(conn, NOW, next_digest_at=NOW + timedelta(hours=3))
        run = {"at": NOW, "outcome": "done", "gpu": True, "episode_id": heard[0]}
        runs = [
            run | {"stage": "transcribe", "seconds": 30.0, "audio_s": 600.0},
            run | {"stage": "extract", "seconds": 80.0, "audio_s": 600.0},
            run | {"stage": "extract", "seconds": 9.0, "audio_s": None, "gpu": False},
        ]
        conn.execute(insert(stage_run), runs)
    with db.begin() as conn:
        assert backlog.waiting(conn, NOW) == backlog.Backlog((600.0,) * 3, 2, 3 * 3600.0)
        assert backlog.pace(conn, NOW - timedelta(days=1)) == backlog.Measured(0.05, 80.0)


def turns(db: Database, clock: FixedClock, url: str, ended: list[str]) -> GpuTurns:
    return GpuTurns(db, clock, load(environ={"PODSIFT_LLM_URL": url}).llm, lambda: ended.append("whisper"))


def test_memory_is_freed_before_it_is_taken(sqlite: Database, clock: FixedClock, server: tuple[str, list[str]]) -> None:
    url, asked = server
    ended: list[str] = []
    t = turns(sqlite, clock, url, ended)
    (i,) = add(sqlite, "transcribe", 1)
    assert t.allows("download", {"transcribe": 1})
    assert t.allows("transcribe", {}) and not t.allows("extract", {})
    assert asked == ["/release_memory_occupation {}"] and ended == []
    with sqlite.begin() as conn:
        episodes.advance(conn, i, "transcribe", "extract")
    assert not t.allows("extract", {"transcribe": 1})  # what is in hand ends first
    assert ended == []
    assert t.allows("extract", {}) and not t.allows("transcribe", {})
    assert ended == ["whisper"] and asked[1:] == ["/resume_memory_occupation {}"]
    t.close()
    assert len(asked) == 2


def test_a_server_that_is_away_stops_nothing(sqlite: Database, clock: FixedClock) -> None:
    ended: list[str] = []
    t = turns(sqlite, clock, "http://127.0.0.1:1", ended)
    add(sqlite, "transcribe", 1)
    assert t.allows("transcribe", {})
    t.close()
    assert ended == ["whisper"]


def test_an_engine_takes_turns(sqlite: Database, clock: FixedClock, server: tuple[str, list[str]]) -> None:
    url, asked = server
    ended: list[str] = []
    t = turns(sqlite, clock, url, ended)
    add(sqlite, "transcribe", 4)
    order: list[str] = []
    both: list[set[str]] = []
    busy: set[str] = set()

    def stage(name: str, after: str) -> Stage:
        def work(_id: int) -> Done:
            busy.add(name)
            both.append(set(busy))
            order.append(name)
            busy.discard(name)
            return Done(lambda _conn: None)

        return Stage(name, work, after, 1, 1)

    stages = (stage("transcribe", "extract"), stage("extract", "relate"), stage("relate", "done"))
    LocalEngine(sqlite, clock, stages, gate=t.allows).run(until_idle=True)
    with sqlite.begin() as conn:
        assert episodes.counts(conn) == {"done": 4}
    assert order[:4] == ["transcribe"] * 4 and sorted(order[4:]) == ["extract"] * 4 + ["relate"] * 4
    assert not [b for b in both if "transcribe" in b and len(b) > 1]
    assert t.changes == 2 and len(asked) == 2 and ended == ["whisper"]
