"""An installation under fire: three workers and two clocks that are started again when they end, and its accounts."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.faults import script
from tests.faults.world import FEEDS, HALF_OPEN, Mails, Postgres, Publishers

PART = [sys.executable, "-P", str(Path(__file__).with_name("part.py"))]
PARTS: dict[str, tuple[str, ...]] = {
    "clock 1": ("clock",),
    "clock 2": ("clock",),
    "worker 1": ("worker", "--queue=poll", "--queue=download", "--queue=digest"),
    "worker 2": ("worker", "--queue=transcribe", "--queue=extract", "--queue=relate"),
    "worker 3": ("worker",),
}
WORKERS = ("worker 1", "worker 2", "worker 3")


@dataclass
class Row:
    """What a phase came to."""

    phase: str
    released: int = 0
    done: int = 0
    failed: int = 0
    lost: int = 0
    repeated: int = 0
    mails: int = 0
    twice: int = 0
    uncertain: int = 0
    restarts: int = 0
    seconds: float = 0.0
    doctor: str = ""


@dataclass
class Arena:
    folder: Path
    database: Postgres
    url: str
    publishers: Publishers
    mails: Mails
    scale: float
    more: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[str, ...]] = field(default_factory=lambda: PARTS)
    under: dict[str, list[str]] = field(default_factory=dict)
    """A command under which a part runs, by its name."""

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.trace, self.offset = self.folder / "trace", self.folder / "offset"
        self.trace.touch()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.restarts: Counter[str] = Counter()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.people = 0
        self.rng = random.Random(11)
        self.rows: list[Row] = []

    @property
    def env(self) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")}
        return (
            plain
            | {
                "PODSIFT_DATA_DIR": str(self.data),
                "PODSIFT_DATABASE_URL": self.url,
                "PODSIFT_FEED_ALLOW_HOSTS": self.publishers.base.removeprefix("http://"),
                "PODSIFT_FEED_LOOKBACK_DAYS": "7",
                "PODSIFT_FEED_MAX_NEW": "1000",
                "PODSIFT_FEED_TIMEOUT_S": "5",
                "PODSIFT_AUDIO_MIN_FREE_BYTES": "0",
                "PODSIFT_SMTP_HOST": "127.0.0.1",
                "PODSIFT_SMTP_PORT": str(self.mails.port),
                "PODSIFT_SMTP_SECURITY": "none",
                "PODSIFT_SMTP_RETRY_MINUTES": "0.02",
                "PODSIFT_LOG_FORMAT": "json",
                "FAULTS_SCALE": str(self.scale),
                "FAULTS_TRACE": str(self.trace),
                "FAULTS_OFFSET": str(self.offset),
                "OPENBLAS_NUM_THREADS": "1",
            }
            | self.more
        )

    # --- parts ---

    def start(self, name: str) -> None:
        with (self.folder / "log").open("ab") as log:
            argv = [*self.under.get(name, ()), *PART, *self.parts[name]]
            made = subprocess.Popen(argv, env=self.env, cwd=self.folder, stdout=log, stderr=log)
        self.running[name] = made

    def watch(self) -> None:
        """What Compose or systemd does: start again what ended, half a second later."""
        while not self._ending.wait(0.5):
            with self._lock:
                for name, process in list(self.running.items()):
                    if process.poll() is not None:
                        self.restarts[name] += 1
                        self.start(name)

    @contextmanager
    def up(self) -> Iterator[None]:
        for name in self.parts:
            self.start(name)
        keeper = threading.Thread(target=self.watch, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._ending.set()
            keeper.join()
            for process in self.running.values():
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        with self._lock:
            self.running[name].send_signal(how)

    def restart_all(self) -> None:
        """With other settings: each is ended, and started again by who watches."""
        for name in self.parts:
            self.kill(name)

    # --- questions ---

    def call(self, *argv: str, wanted: Sequence[int] = (0,)) -> str:
        done = subprocess.run(
            [*PART, *argv], env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode in wanted, (argv, done.returncode, done.stderr[-2000:])
        return done.stdout or done.stderr

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as conn:
            cursor = conn.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def doctor(self, *, all_: bool = False) -> dict[str, str]:
        """Each check that is not ok, with what it says; a doctor that cannot start says so itself."""
        text = self.call("doctor", "--json", wanted=(0, 4, 5, 1))
        try:
            found = json.loads(text[text.index("{") :])
        except ValueError:
            return {"database": text.strip()}
        return {k: v["says"] for k, v in found.items() if all_ or v["result"] in ("bad", "warn")}

    # --- work ---

    def follow(self) -> None:
        for k in range(FEEDS):
            if k != HALF_OPEN:
                self.ask(
                    "INSERT INTO feed (url, title, state, error_count, added_at, next_poll_at) "
                    "VALUES (%s, %s, 'active', 0, now(), now())",
                    f"{self.publishers.base}/feed-{k}.xml",
                    f"Show {k}",
                )
        self.ask(
            "INSERT INTO feed (url, title, state, error_count, added_at, next_poll_at) "
            "VALUES (%s, 'Show that never answers', 'active', 0, now(), now())",
            f"{self.publishers.base}/feed-{HALF_OPEN}.xml",
        )

    def subscribe(self, n: int) -> None:
        """People whose digest is due now."""
        for _ in range(n):
            self.people += 1
            self.ask(
                "INSERT INTO subscriber "
                "(email, state, time_zone, hour, minute, count, nonce, created_at, next_digest_at) "
                "VALUES (%s, 'active', 'UTC', 7, 0, 5, %s, now(), now() - interval '1 second')",
                f"reader{self.people}@example.org",
                f"nonce-{self.people:026}",
            )

    def poll_now(self) -> None:
        self.ask("UPDATE feed SET next_poll_at = now() WHERE state = 'active'")
        self.ask("DELETE FROM host_hold")

    def settled(self) -> bool:
        """Whether everything that was released has come to its end, and every mail too."""
        try:
            (known,) = self.ask("SELECT count(*), count(*) FILTER (WHERE stage IN ('done', 'failed')) FROM episode")
            if known[0] < self.publishers.count:
                self.poll_now()
            (open_,) = self.ask(
                "SELECT "
                "(SELECT count(*) FROM outbox WHERE state IN ('queued', 'claimed', 'transmitting', 'deferred')), "
                "(SELECT count(*) FROM subscriber WHERE next_digest_at < now() AND state = 'active')"
            )
        except psycopg.OperationalError:
            return False
        return bool(known[1] == self.publishers.count and open_ == (0, 0))

    def phase(
        self,
        name: str,
        episodes: int,
        people: int,
        fault: Callable[[], str] | None = None,
        limit_s: float = 1500.0,
    ) -> Row:
        """Release work, do harm, wait until all is settled, and take the accounts."""
        before = self.account()
        restarts, begun = sum(self.restarts.values()), time.monotonic()
        self.publishers.release(episodes)
        self.poll_now()
        self.wait(lambda: self.count("episode") > before["episodes"], 120, name)
        if before["done"]:  # before there is anything to tell nobody gets a mail
            self.subscribe(people)
            said = fault() if fault else ""
        else:
            said = fault() if fault else ""
            self.wait(lambda: self.count("insight") > 10, limit_s, name)
            self.subscribe(people)
        self.wait(self.settled, limit_s, name)
        after = self.account()
        row = Row(
            name,
            episodes,
            after["done"] - before["done"],
            after["failed"] - before["failed"],
            after["lost"],
            after["repeated"] - before["repeated"],
            after["mails"] - before["mails"],
            after["twice"],
            after["uncertain"] - before["uncertain"],
            sum(self.restarts.values()) - restarts,
            round(time.monotonic() - begun, 1),
            said,
        )
        self.rows.append(row)
        print(row, flush=True)
        return row

    def wait(self, what: Callable[[], object], seconds: float, name: str) -> None:
        until = time.monotonic() + seconds
        while not what():
            if time.monotonic() > until:
                stages = self.ask("SELECT stage, count(*), max(error) FROM episode GROUP BY stage")
                mails = self.ask("SELECT state, count(*) FROM outbox GROUP BY state")
                jobs = self.ask(
                    "SELECT queue_name, status::text, count(*), min(scheduled_at)::text FROM procrastinate_jobs "
                    "WHERE status IN ('todo', 'doing') GROUP BY 1, 2"
                )
                raise AssertionError(f"{name}: not settled in {seconds} s: {stages} {mails} {jobs}")
            time.sleep(0.5)

    def count(self, table: str) -> int:
        try:
            return int(self.ask(f"SELECT count(*) FROM {table}")[0][0])
        except psycopg.OperationalError:
            return -1

    def account(self) -> dict[str, int]:
        """Counted on both sides: what publishers released and the mail server took, and what the database says."""
        (episodes, done, failed) = self.ask(
            "SELECT count(*), count(*) FILTER (WHERE stage = 'done'), count(*) FILTER (WHERE stage = 'failed') "
            "FROM episode"
        )[0]
        heard = self.trace.read_text().split()
        taken = self.mails.to()
        return {
            "episodes": episodes,
            "done": done,
            "failed": failed,
            "lost": self.publishers.count - done - failed,
            "repeated": len(heard) - len(set(heard)),
            "mails": sum(taken.values()),
            "twice": sum(n - 1 for n in taken.values()),
            "uncertain": int(self.ask("SELECT count(*) FROM outbox WHERE state = 'uncertain'")[0][0]),
        }

    def verify(self) -> None:
        """Nothing lost, nothing twice, what failed is what had to, and says so."""
        failed = {int(r[0]): r[1] for r in self.ask("SELECT guid, error FROM episode WHERE stage = 'failed'")}
        wrong = {n for n in range(self.publishers.count) if script.kind(n)}
        assert set(failed) == wrong, (set(failed) ^ wrong, failed)
        assert all(failed.values())
        assert self.ask("SELECT episode_id FROM transcript GROUP BY 1 HAVING count(*) > 1") == []
        assert self.ask("SELECT text_key, episode_id FROM insight GROUP BY 1, 2 HAVING count(*) > 1") == []
        rows = self.ask(
            "SELECT count(*) FROM episode e WHERE stage = 'done' AND NOT EXISTS "
            "(SELECT 1 FROM transcript t WHERE t.episode_id = e.id)"
        )
        assert rows == [(0,)]
        taken = self.mails.to()
        assert [to for to, n in taken.items() if n > 1] == []
        states = dict(self.ask("SELECT recipient, state FROM outbox"))
        assert {to for to, s in states.items() if s == "sent"} <= set(taken)
        assert set(taken) <= {to for to, s in states.items() if s in ("sent", "uncertain")}
        assert set(states.values()) <= {"sent", "uncertain"}
        digests = self.ask("SELECT subscriber_id, local_date FROM digest GROUP BY 1, 2 HAVING count(*) > 1")
        assert digests == []
        assert self.ask("SELECT subscriber_id, insight_id FROM ledger GROUP BY 1, 2 HAVING count(*) > 1") == []
