"""Faults on three workers and a real PostgreSQL: nothing lost, nothing mailed twice, and doctor sees each.

The short form is in every run, the whole one (`-m "faults and slow"`, over 500 episodes) takes half an hour and prints
the table of docs/faults.md.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang
from tests.faults.arena import PARTS, WORKERS, Arena
from tests.faults.world import Mails, Publishers, postgres, small_disk

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.xdist_group("faults")]


@contextmanager
def arena(folder: Path, scale: float) -> Iterator[Arena]:
    with postgres() as server, Publishers() as pubs, Mails() as mails:
        made = Arena(folder, server, server.new("faults"), pubs, mails, scale)
        made.call("db", "upgrade")
        made.follow()
        with made.up():
            yield made


def kills(a: Arena, names: tuple[str, ...], times: int, most_s: float) -> str:
    """At random, and once all workers while they have something in hand: that is seen for a day."""
    for k in range(times):
        time.sleep(a.rng.uniform(0.2, most_s))
        a.kill(names[k % len(names)])

    def in_hand() -> object:
        a.poll_now()  # where all is done by now: asking the show that never answers takes its time
        return a.ask("SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' LIMIT 1")

    a.wait(in_hand, 120, "something in hand")
    for name in WORKERS:
        a.kill(name)
    # Either the job itself, or another one for the same episode that waited already.
    again = "SELECT 1 FROM procrastinate_events WHERE type IN ('deferred_for_retry', 'aborted') LIMIT 1"
    a.wait(lambda: a.ask(again), 120, "what was in hand is begun again")
    said = a.doctor()["processes"]
    assert "begun again" in said
    return "processes: " + said.partition("; ")[2][:60]


def away(a: Arena, seconds: float) -> str:
    a.database.stop()
    time.sleep(seconds / 2)
    said = a.doctor()
    assert "database" in said
    time.sleep(seconds / 2)
    a.database.start()
    return said["database"].splitlines()[0][:70]


def frozen(a: Arena, name: str, seconds: float) -> str:
    a.kill(name, signal.SIGSTOP)
    time.sleep(seconds)
    a.kill(name, signal.SIGCONT)
    return ""


def two_clocks(a: Arena) -> None:
    """One works, one stands by, and doctor counts them."""
    shared = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' HAVING count(*) = 2"
    a.wait(lambda: a.ask(shared), 60, "two clocks")
    assert "a clock is at work, 1 more stands by" in a.doctor(all_=True)["processes"]


def test_kills_an_outage_and_a_worker_that_stood_still(tmp_path: Path) -> None:
    with arena(tmp_path, 0.02) as a:
        two_clocks(a)
        a.phase("kill -9 of each kind", 8, 4, lambda: kills(a, tuple(PARTS), 5, 1.2), 300)
        a.phase("database away for 2 s", 6, 3, lambda: away(a, 2), 300)
        a.phase("a worker stopped for 6 s", 6, 3, lambda: frozen(a, "worker 2", 6), 300)
        a.phase("a disk that is full for 2 s", 4, 2, lambda: full(a, 2), 300)
        a.phase("a clock that is 5 min ahead", 3, 2, lambda: jumps(a, (300, 0), 2), 300)
        with FakeSglang(Says('{"insights": []}')) as server:
            with_model(a, server.url)
            a.phase("language model away, then 503", 4, 2, lambda: model(a, server, 1), 300)
        said = a.doctor()
        assert "most often" in said["feeds"] and "1 failed" in said["jobs"], said
        a.verify()
        assert a.rows[0].restarts >= 5
        assert sum(r.released for r in a.rows) == 31 and a.rows[-1].lost == 0


def full(a: Arena, seconds: float) -> str:
    """The disk of the data folder is full: what was on it is gone too, as after a move to another one."""
    with small_disk(a.data, 1) as mounted:
        if not mounted:
            return "not done: this machine mounts no disk"
        (a.data / "filling").write_bytes(b"\0" * (os.statvfs(a.data).f_bavail * os.statvfs(a.data).f_frsize))
        time.sleep(seconds)
        said = a.doctor()
        assert "disk" in said
        return "disk: " + said["disk"][:50]


def jumps(a: Arena, to_s: tuple[float, ...], each_s: float) -> str:
    """Every process of ours is wrong by so much, the database is not."""
    told = []
    for seconds in to_s:
        a.offset.write_text(str(seconds))
        time.sleep(each_s)
        if seconds:
            said = a.doctor()
            assert "time" in said and "the database's" in said["time"], said
            told.append(said["time"].removeprefix("this machine's ").partition(" the database's")[0])
    return "time: " + ", ".join(told)


def with_model(a: Arena, url: str | None) -> None:
    a.more = {} if url is None else {"PODSIFT_LLM_URL": url}
    a.restart_all()


def model(a: Arena, server: FakeSglang, times: float) -> str:
    """Away, then busy, then back."""
    server.stop()
    time.sleep(2 * times)
    away = a.doctor()
    assert "language model" in away
    server.starting = True
    server.start()
    time.sleep(times)
    busy = a.doctor()
    assert "language model" in busy and busy["language model"] != away["language model"], busy
    server.starting = False
    told = [re.sub(r"The language model at \S+ ", "", d["language model"])[:40] for d in (away, busy)]
    return "language model: " + "; ".join(told)


@pytest.mark.slow
def test_all_of_it_over_five_hundred_episodes(tmp_path: Path) -> None:
    with arena(tmp_path, 0.1) as a:
        try:
            two_clocks(a)
            a.phase("nothing", 50, 5)
            a.phase("kill -9 of each kind, 20 times", 80, 10, lambda: kills(a, tuple(PARTS), 20, 3.0))
            a.phase("kill -9 of the sender, 10 times", 30, 40, lambda: _while_sending(a))
            a.phase("database away for 5 s", 50, 10, lambda: away(a, 5))
            a.phase("database away for 60 s", 50, 10, lambda: away(a, 60))
            a.phase("disk full for 10 s", 50, 10, lambda: full(a, 10))
            a.phase("clock jumps +5 min, -1 h, +1 min", 50, 10, lambda: jumps(a, (300, -3600, 60, 0), 6))
            a.phase("a worker stopped for 120 s", 60, 10, lambda: frozen(a, a.rng.choice(WORKERS), 120))
            with FakeSglang(Says('{"insights": []}')) as server:
                with_model(a, server.url)
                a.phase("language model away 10 s, 503 5 s", 50, 5, lambda: model(a, server, 5))
                with_model(a, None)
            a.phase("nothing again", 50, 10)
            said = a.doctor()
            a.verify()
            assert a.rows[-1].lost == 0 and a.publishers.count >= 500
            assert "jobs" in said and "feeds" in said, "what failed is seen"
            if sum(r.uncertain for r in a.rows):
                assert "outbox" in said
        finally:
            report = Path(os.environ.get("FAULTS_REPORT", tmp_path / "faults.json"))
            report.write_text(json.dumps([asdict(r) for r in a.rows], indent=1))
            print(report.read_text())
            (report.parent / "faults.log").write_bytes((tmp_path / "log").read_bytes())


def _while_sending(a: Arena) -> str:
    a.subscribe(40)
    for _ in range(10):
        sent = sum(a.mails.to().values())
        until = time.monotonic() + 20
        while sum(a.mails.to().values()) == sent and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(a.rng.uniform(0, 0.2))
        a.kill("worker 1")
        a.kill("worker 3")
    return ""
