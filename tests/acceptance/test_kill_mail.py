"""kill -9 of a sending process, before and after DATA, with a real SMTP server that outlives it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.digest.compose import build
from pipeline.settings import load
from pipeline.store.database import open_database
from tests.fakes.rows import add_insights, add_subscriber

RUN = [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()", "digest", "send"]


class StallingServer:
    """Speaks SMTP for one connection at a time; at `verb` it does not answer, but says that it was asked."""

    def __init__(self) -> None:
        self.verb: str | None = None
        self.asked = threading.Event()
        self.took: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        # Closing alone does not wake accept(); shutting the listener down does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            with conn, conn.makefile("rwb", buffering=0) as line:
                self._talk(line)

    def _talk(self, line: Any) -> None:
        line.write(b"220 ready\r\n")
        try:
            while command := line.readline():
                verb = command[:4].upper().decode()
                if verb == "DATA":
                    line.write(b"354 go on\r\n")
                    body = b""
                    while not body.endswith(b"\r\n.\r\n"):
                        piece = line.readline()
                        if not piece:
                            return
                        body += piece
                    self.took.append(body)
                if verb == self.verb:
                    self.asked.set()
                    line.read(1)  # until the other side is gone
                    return
                line.write(b"221 bye\r\n" if verb == "QUIT" else b"250 ok\r\n")
        except OSError:
            return


@pytest.fixture
def server() -> Iterator[StallingServer]:
    opened = StallingServer()
    yield opened
    opened.close()


def states(folder: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(folder / "podsift.db")) as db:
        return db.execute("SELECT state FROM outbox").fetchall()


@pytest.mark.parametrize(
    ("verb", "at_kill", "after", "mails"),
    [("EHLO", "claimed", "sent", 1), ("RCPT", "claimed", "sent", 1), ("DATA", "transmitting", "uncertain", 1)],
)
def test_kill_9_while_sending(
    verb: str, at_kill: str, after: str, mails: int, server: StallingServer, tmp_path: Path
) -> None:
    (tmp_path / "podsift.toml").write_text(
        f'data_dir = "."\n[smtp]\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\n'
    )
    settings = load(tmp_path / "podsift.toml", {})
    db = open_database(settings)
    now = datetime.now(UTC) - timedelta(minutes=1)
    with db.begin() as conn:
        add_insights(conn, now, ["A claim that stands."])
        who = add_subscriber(conn, now)
        assert build(conn, who, settings, lambda *_: None, now) is not None
    db.close()

    env = {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")}
    server.verb = verb
    sending = subprocess.Popen(RUN, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
    try:
        assert server.asked.wait(60)
    finally:
        sending.send_signal(signal.SIGKILL)
        sending.wait()
    assert states(tmp_path) == [(at_kill,)]

    server.verb = None
    for _ in range(2):
        subprocess.run(RUN, cwd=tmp_path, env=env, check=False, timeout=60, stdout=subprocess.DEVNULL)
    assert states(tmp_path) == [(after,)]
    assert len(server.took) == mails
