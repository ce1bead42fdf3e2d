"""`podsift up` and `podsift run` as processes: one a folder, stops when told, a cron pass does it all."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pipeline.demo.samples import SampleServer
from pipeline.demo.sink import MailSink
from pipeline.engine.supervise import STATUS, read_status

PODSIFT = [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")}
    return plain | {"PODSIFT_DATA_DIR": str(folder)} | more


@contextmanager
def up(folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*PODSIFT, "up"], env=env, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "podsift works on" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def test_a_second_one_is_refused_with_the_pid_and_sigterm_ends_it(tmp_path: Path) -> None:
    env = environment(tmp_path)
    with up(tmp_path, env) as first:
        second = subprocess.run([*PODSIFT, "run"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180)
        assert second.returncode == 2
        assert f"process {first.pid}" in second.stderr
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=120) == 0
    third = subprocess.run([*PODSIFT, "run"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert third.returncode == 0, third.stderr


@pytest.mark.whisper
@pytest.mark.xdist_group("whisper")
def test_up_polls_processes_and_mails_by_itself(tmp_path: Path) -> None:
    with SampleServer(tmp_path) as server, MailSink(tmp_path) as sink:
        env = environment(
            tmp_path,
            PODSIFT_FEED_ALLOW_HOSTS=f"127.0.0.1:{server.port}",
            PODSIFT_SMTP_HOST="127.0.0.1",
            PODSIFT_SMTP_PORT=str(sink.port),
            PODSIFT_SMTP_SECURITY="none",
            PODSIFT_AUDIO_MIN_FREE_BYTES="0",
        )

        def call(*argv: str) -> None:
            done = subprocess.run([*PODSIFT, *argv], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180)
            assert done.returncode == 0, done.stderr

        call("feed", "add", f"{server.base_url}/feed-long-table.xml")
        call("subscriber", "add", "reader@example.org")
        done = subprocess.run([*PODSIFT, "run"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "episodes finished 1, failed 0" in done.stdout
        assert sink.files() == []  # the reader's hour has not come
        import sqlite3

        with sqlite3.connect(tmp_path / "podsift.db") as db:
            db.execute("UPDATE subscriber SET next_digest_at = '2020-01-01 00:00:00.000000'")
        db.close()
        with up(tmp_path, env) as process:
            until = time.monotonic() + 180
            while not sink.files() and time.monotonic() < until:
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0
        assert len([p for p in sink.files() if p.suffix == ".eml"]) == 1


def child(folder: Path, name: str) -> int:
    """The process of a part, once it runs."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        pid = read_status(folder / STATUS).get(name, {}).get("pid")
        if pid:
            return int(pid)
        time.sleep(0.1)
    raise AssertionError(f"{name} does not run")


def gone(pid: int, seconds: float = 120) -> bool:
    until = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as page:
            return bool(page.status == 200)
    except OSError:
        return False


def test_kill_9_of_any_part_is_survived(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = environment(tmp_path, PODSIFT_WEB_WITH_UP="true", PODSIFT_WEB_PORT=str(port))
    doctor = [*PODSIFT, "doctor", "--json"]
    with up(tmp_path, env) as first:
        for name in ("engine", "web"):
            killed = child(tmp_path, name)
            os.kill(killed, signal.SIGKILL)
            until = time.monotonic() + 180
            while read_status(tmp_path / STATUS)[name]["restarts"] == 0:
                assert time.monotonic() < until
                time.sleep(0.1)
            assert child(tmp_path, name) != killed
        while not answers(port):
            assert time.monotonic() < until + 60
            time.sleep(0.2)
        second = subprocess.run([*PODSIFT, "run"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180)
        assert second.returncode == 2 and f"process {first.pid}" in second.stderr  # the folder was held all the time
        seen = subprocess.run(doctor, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        said = json.loads(seen.stdout)["processes"]
        assert said["result"] == "warn" and "engine was started again 1 times, last after SIGKILL" in said["says"]
        # Now who watches is killed: its parts end by themselves, and the folder is free.
        parts = [child(tmp_path, name) for name in ("engine", "web")]
        first.kill()
        first.wait()
        assert all(gone(pid) for pid in parts)
    done = subprocess.run([*PODSIFT, "run"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
