"""One installation on PostgreSQL as several processes: a clock, two workers, one mail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from pipeline.demo.samples import SampleServer
from pipeline.demo.sink import MailSink

PODSIFT = [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()"]

pytestmark = pytest.mark.postgres


@contextmanager
def part(env: dict[str, str], folder: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*PODSIFT, *argv], env=env, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(what: Callable[[], object], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.2)


def test_a_clock_and_workers_poll_process_and_mail(tmp_path: Path, postgres_url: str) -> None:
    with SampleServer(tmp_path) as server, MailSink(tmp_path) as sink, ExitStack() as parts:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")} | {
            "PODSIFT_DATA_DIR": str(tmp_path),
            "PODSIFT_DATABASE_URL": postgres_url,
            "PODSIFT_FEED_ALLOW_HOSTS": f"127.0.0.1:{server.port}",
            "PODSIFT_FEED_LOOKBACK_DAYS": "2",
            "PODSIFT_SMTP_HOST": "127.0.0.1",
            "PODSIFT_SMTP_PORT": str(sink.port),
            "PODSIFT_SMTP_SECURITY": "none",
            "PODSIFT_AUDIO_MIN_FREE_BYTES": "0",
        }

        def call(*argv: str) -> str:
            done = subprocess.run([*PODSIFT, *argv], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout

        def ask(query: str) -> list[tuple[object, ...]]:
            with psycopg.connect(postgres_url, autocommit=True) as conn:
                return conn.execute(query.encode()).fetchall()

        call("feed", "add", f"{server.base_url}/feed-long-table.xml")
        call("subscriber", "add", "reader@example.org")
        ask("UPDATE feed SET next_poll_at = now() RETURNING 1")
        clocks = [parts.enter_context(part(env, tmp_path, "clock")) for _ in range(2)]
        workers = [
            parts.enter_context(part(env, tmp_path, "worker", "--queue", "poll", "--queue", "download")),
            parts.enter_context(
                part(env, tmp_path, "worker", *(f"--queue={q}" for q in ("transcribe", "extract", "relate")))
            ),
            parts.enter_context(part(env, tmp_path, "worker", "--queue", "digest")),
        ]
        wait_for(lambda: ask("SELECT 1 FROM episode WHERE stage = 'done'"))
        ask("UPDATE subscriber SET next_digest_at = '2020-01-01' RETURNING 1")
        wait_for(sink.files)
        assert len([p for p in sink.files() if p.suffix == ".eml"]) == 1
        assert ask("SELECT state FROM outbox") == [("sent",)]
        assert '"relate"' not in call("job", "list", "--json")
        for process in (*clocks, *workers):
            process.send_signal(signal.SIGTERM)
        assert [p.wait(timeout=30) for p in (*clocks, *workers)] == [0] * 5
        assert ask("SELECT count(*) FROM procrastinate_workers") == [(0,)]


def test_up_and_run_work_on_postgresql_too(tmp_path: Path, postgres_url: str) -> None:
    with SampleServer(tmp_path) as server:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")} | {
            "PODSIFT_DATA_DIR": str(tmp_path),
            "PODSIFT_DATABASE_URL": postgres_url,
            "PODSIFT_FEED_ALLOW_HOSTS": f"127.0.0.1:{server.port}",
            "PODSIFT_AUDIO_MIN_FREE_BYTES": "0",
            "PODSIFT_FEED_LOOKBACK_DAYS": "2",
        }
        add = [*PODSIFT, "feed", "add", f"{server.base_url}/feed-long-table.xml"]
        subprocess.run(add, env=env, cwd=tmp_path, check=True, capture_output=True, timeout=60)
        once = subprocess.run([*PODSIFT, "run"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert once.returncode == 0, once.stderr
        assert "episodes finished 1, failed 0" in once.stdout
        with part(env, tmp_path, "up") as process, psycopg.connect(postgres_url, autocommit=True) as conn:
            wait_for(lambda: conn.execute("SELECT 1 FROM procrastinate_jobs WHERE task_name = 'digest'").fetchall())
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
