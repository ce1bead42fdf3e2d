"""Mails a second with every guarantee on, beside a bare smtplib loop with the same bytes; and building many digests.

python bench/send.py --mails 2000 --people 10000

A mail server in a process of its own takes everything (`250`) on loopback. The peer is `smtplib` over one connection:
MAIL, RCPT, DATA for each mail, nothing written down. Ours claims, commits `transmitting` before each DATA and `sent`
after it, synced to the disk (SQLite, synchronous=FULL). Both send the same bytes, in turn, several times; the ratio is
of the medians of one run. CPU seconds are this process's own, for the wall clock of a busy machine says little.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import resource
import smtplib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, cast

import numpy as np
from sqlalchemy import select, update

from pipeline.clock import FixedClock
from pipeline.digest.work import build_due
from pipeline.email.delivery import send_due
from pipeline.insight.relate import text_key
from pipeline.records import Findings, InsightDraft, Origin, ParsedEpisode, Sentence, Transcript
from pipeline.settings import Settings, load
from pipeline.store import digests, episodes, feeds, insights, subscribers, transcripts
from pipeline.store.database import Database, open_database
from pipeline.store.tables import outbox, outbox_message

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
ZONES = ("Europe/Berlin", "UTC", "America/New_York", "Asia/Tokyo", "Australia/Sydney", "America/Sao_Paulo")
TOPICS = ("health", "queues", "bread", "cities", "music", "oceans", "trains", "money", "language", "sleep")
WORDS = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8").split()


# --- the mail server -------------------------------------------------------------------------------------------------


class Sink(asyncio.Protocol):
    """As little of SMTP as takes mail, so that the sender is what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.out = cast(asyncio.Transport, transport)
        self.buffer = b""
        self.body = False
        self.out.write(b"220 ready\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = b"\r\n.\r\n" if self.body else b"\r\n"
            at = self.buffer.find(end)
            if at < 0:
                return
            line, self.buffer = self.buffer[:at], self.buffer[at + len(end) :]
            if self.body:
                self.body = False
                self.out.write(b"250 taken\r\n")
            elif line[:4].upper() == b"DATA":
                self.body = True
                self.out.write(b"354 go on\r\n")
            elif line[:4].upper() == b"QUIT":
                self.out.write(b"221 bye\r\n")
                self.out.close()
            else:
                self.out.write(b"250 ok\r\n")


def serve(pipe: Pipe) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def sink() -> Iterator[int]:
    """A mail server's port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        if not ours.poll(30):
            raise SystemExit("the mail server did not start")
        yield int(ours.recv())
    finally:
        process.terminate()
        process.join()


# --- people and insights ---------------------------------------------------------------------------------------------


def settings_for(folder: Path, port: int, connections: int) -> Settings:
    (folder / "bench.toml").write_text("")
    return load(
        environ={
            "PODSIFT_CONFIG": str(folder / "bench.toml"),
            "PODSIFT_DATA_DIR": str(folder / "data"),
            "PODSIFT_SECRET_KEY": "k1:0123456789abcdef0123456789abcdef",
            "PODSIFT_WEB_BASE_URL": "https://pods.example.org",
            "PODSIFT_SMTP_HOST": "127.0.0.1",
            "PODSIFT_SMTP_PORT": str(port),
            "PODSIFT_SMTP_SECURITY": "none",
            "PODSIFT_SMTP_CONNECTIONS": str(connections),
            "PODSIFT_SMTP_PER_DOMAIN": "50",
            "PODSIFT_SMTP_SENDER": "Podsift <digest@example.org>",
        }
    )


def add_shows(db: Database, shows: int, insights_each: int) -> int:
    """Shows with one new episode each. Returns the number of insights."""
    rng = random.Random(5)
    numbers = np.random.default_rng(5)
    with db.begin() as conn:
        for s in range(shows):
            feed_id, _ = feeds.add(conn, f"https://example.org/{s}.xml", NOW)
            feeds.change(conn, feed_id, {"title": f"Show number {s}"})
            link = f"https://example.org/{s}/1"
            about = ParsedEpisode(
                f"g{s}", f"Episode of show {s}", NOW - timedelta(days=1), 3600.0, link + ".mp3", "audio/mpeg", 9, link
            )
            episode_id = episodes.add(conn, feed_id, f"g{s}", about, "done", None, NOW)
            texts = [" ".join(rng.choices(WORDS, k=50)) for _ in range(insights_each)]
            said = tuple(Sentence(k, 60.0 * k, 60.0 * k + 30, t, "Ada") for k, t in enumerate(texts))
            transcripts.save(conn, episode_id, Transcript("en", 3600.0, said, "publisher"), NOW)
            drafts = tuple(
                InsightDraft(
                    " ".join(t.split()[:9]), t, t, (k,), k, k, 60.0 * k, 60.0 * k + 30, "Ada", rng.random(),
                    topics=tuple(rng.sample(TOPICS, 2)),
                )
                for k, t in enumerate(texts)
            )  # fmt: skip
            drawn = numbers.normal(size=(insights_each, 384)).astype(np.float32)
            vectors = [v / np.linalg.norm(v) for v in drawn]
            insights.save(
                conn, episode_id, Findings(Origin("selecting"), (), drafts), [text_key(t) for t in texts], vectors, NOW
            )
    return shows * insights_each


def add_people(db: Database, people: int, shows: int) -> None:
    """Everybody wants something else: zone, number, topics, shows."""
    rng = random.Random(6)
    with db.begin() as conn:
        for k in range(people):
            row = {
                "email": f"reader{k}@{k % 40}.example.org", "state": "active", "hour": 7, "minute": 0,
                "time_zone": rng.choice(ZONES), "count": rng.randint(3, 10), "nonce": f"{k:032x}", "created_at": NOW,
                "next_digest_at": NOW, "wanted_topics": rng.sample(TOPICS, rng.randint(0, 2)),
                "muted_topics": rng.sample(TOPICS, rng.randint(0, 1)),
                "wanted_shows": rng.sample(range(1, shows + 1), rng.randint(0, 3)),
                "muted_shows": rng.sample(range(1, shows + 1), rng.randint(0, 3)),
            }  # fmt: skip
            subscribers.add(conn, row)


class Spent:
    """Wall and CPU seconds of a block."""

    def __enter__(self) -> Spent:
        self._cpu, self._wall = self._now()
        return self

    def __exit__(self, *exc: object) -> None:
        cpu, wall = self._now()
        self.cpu, self.wall = cpu - self._cpu, wall - self._wall

    def _now(self) -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime, time.perf_counter()


# --- what is measured ------------------------------------------------------------------------------------------------


def build(folder: Path, people: int, shows: int, each: int) -> None:
    """Select, render, sign links, freeze and queue a digest for everybody, twice: a first day and a second one."""
    db = open_database(settings_for(folder, 1, 1))
    n = add_shows(db, shows, each)
    add_people(db, people, shows)
    for day in range(2):
        clock = FixedClock(NOW + timedelta(days=day))
        with Spent() as spent:
            made = build_due(db, settings_for(folder, 1, 1), clock, all_=True)
        assert not made.failed, made.failed
        print(
            f"build, day {day + 1}: {len(made.digests):,} digests for {people:,} people out of {n:,} insights: "
            f"{spent.wall:.1f} s, {spent.cpu:.1f} s of CPU; {spent.cpu / people * 1000:.2f} ms of CPU each"
        )
    with db.begin() as conn:
        assert len({d["subject"] for d in digests.listed(conn, 500)}) > 20, "everybody got the same"
    db.close()


def send(folder: Path, mails: int, rounds: int, connections: list[int]) -> None:
    """The same mails by smtplib and by us, in turn."""
    with sink() as port:
        settings = settings_for(folder, port, 1)
        db = open_database(settings)
        add_shows(db, 30, 4)
        add_people(db, mails, 30)
        build_due(db, settings, FixedClock(NOW), all_=True)
        with db.begin() as conn:
            rows = conn.execute(select(outbox.c.recipient, outbox_message.c.message).join(outbox_message)).all()
        size = sum(len(r.message) for r in rows) / len(rows)
        print(f"send: {len(rows):,} mails of {size / 1000:.1f} KB on the average, {rounds} rounds")
        results: dict[str, list[Spent]] = {}
        for _ in range(rounds):
            results.setdefault("smtplib, one connection", []).append(bare(port, rows))
            for n in connections:
                results.setdefault(f"podsift, {n} connection{'s' if n > 1 else ''}", []).append(
                    ours(db, settings_for(folder, port, n), len(rows))
                )
        db.close()
    peer = statistics.median(s.wall for s in results["smtplib, one connection"])
    print(f"{'':28} {'mails/s':>8} {'of smtplib':>10} {'CPU ms a mail':>14}   every round")
    for name, spent in results.items():
        wall, cpu = statistics.median(s.wall for s in spent), statistics.median(s.cpu for s in spent)
        each = ", ".join(f"{len(rows) / s.wall:.0f}" for s in spent)
        print(f"{name:28} {len(rows) / wall:8.0f} {peer / wall:10.2f} {cpu / len(rows) * 1000:14.2f}   {each}")


def bare(port: int, rows: Any) -> Spent:
    with Spent() as spent:
        server = smtplib.SMTP("127.0.0.1", port)
        server.ehlo()
        for r in rows:
            server.sendmail("digest@example.org", [r.recipient], r.message)
        server.quit()
    return spent


def ours(db: Database, settings: Settings, mails: int) -> Spent:
    with db.begin() as conn:
        again = {"state": "queued", "owner": None, "lease_until": None, "attempts": 0, "next_at": NOW}
        conn.execute(update(outbox).values(**again, expires_at=NOW + timedelta(days=1)))
    with Spent() as spent:
        done = send_due(db, settings, FixedClock(NOW))
    assert done.sent == mails, done
    return spent


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--mails", type=int, default=2000)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--connections", type=int, nargs="+", default=[1, 2, 4, 8])
    words.add_argument("--people", type=int, default=10_000)
    words.add_argument("--shows", type=int, default=100)
    words.add_argument("--each", type=int, default=5, help="insights of each show in the days looked at")
    words.add_argument("--folder", type=Path, help="where the databases lie (default: a temporary folder)")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        folder = Path(made)
        for name in ("send", "build"):
            (folder / name).mkdir()
        if given.mails:
            send(folder / "send", given.mails, given.rounds, given.connections)
        if given.people:
            build(folder / "build", given.people, given.shows, given.each)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
