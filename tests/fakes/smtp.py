"""A mail server by script: at each step it accepts, refuses, hangs up or hangs, and can kill the process that sends."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

STEPS = ("EHLO", "MAIL", "RCPT", "DATA", "dot")

Script = Callable[[str, str], str]
"""(step, recipient) -> `ok`, a reply such as `450 later`, `close` (before the reply), `shut` (after it), `hang`."""


@dataclass
class Seen:
    """What the server knows of each mail, by Message-ID."""

    whole: Counter[str] = field(default_factory=Counter)
    """The final dot came."""
    taken: Counter[str] = field(default_factory=Counter)
    """250 was written to the line."""
    refused: Counter[str] = field(default_factory=Counter)
    """Anything else was."""


class ScriptedServer:
    """Speaks SMTP on 127.0.0.1:`port`, each connection in a thread. A context."""

    def __init__(self, script: Script | None = None, *, announce: str = "250 ok"):
        self.script: Script = script or (lambda _step, _to: "ok")
        self.seen = Seen()
        self.victim: int | None = None
        self.kill_at: int | None = None
        """So many steps from now, counted before and after each reply, `victim` is killed."""
        self.kill_on: tuple[str, str] | None = None
        """(step, `before` or `after` its reply): there `victim` is killed."""
        self.senders: list[str] = []
        self._announce = announce
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        # Closing alone does not wake accept(); shutting the listener down does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for t in self._threads:
            t.join()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            t = threading.Thread(target=self._serve, args=(conn,))
            self._threads.append(t)
            t.start()

    def _serve(self, conn: socket.socket) -> None:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with conn, suppress(OSError):
            conn.settimeout(20)
            line = conn.makefile("rwb")
            line.write(b"220 ready\r\n")
            line.flush()
            with suppress(_OverError):
                self._talk(line)

    def _talk(self, line: Any) -> None:
        to = ""
        while command := line.readline():
            verb = command[:4].upper().decode("ascii", "replace")
            if verb == "MAIL":
                self.senders.append(command.decode("ascii", "replace"))
            if verb == "RCPT":
                to = re.sub(r".*<(.*)>.*", r"\1", command.decode("ascii", "replace").strip())
            if verb in ("RSET", "NOOP", "QUIT") or verb not in STEPS:
                line.write(b"221 bye\r\n" if verb == "QUIT" else b"250 ok\r\n")
                line.flush()
                continue
            good = {"DATA": "354 go on", "EHLO": self._announce}.get(verb, "250 ok")
            if self._answer(line, verb, to, good).startswith("354"):
                self._body(line, to)

    def _body(self, line: Any, to: str) -> None:
        data = b""
        while not data.endswith(b"\r\n.\r\n"):
            piece = line.readline()
            if not piece:
                raise _OverError
            data += piece
        name = re.search(rb"(?im)^Message-ID: *(<[^>]*>)", data)
        assert name is not None, data[:300]
        message_id = name[1].decode()
        with self._lock:
            self.seen.whole[message_id] += 1
        self._answer(line, "dot", to, "250 taken", message_id)

    def _answer(self, line: Any, step: str, to: str, good: str, message_id: str = "") -> str:
        """Act as the script says; returns the reply that was written."""
        self._point(step, "before")
        how = self.script(step, to)
        if how == "close":
            raise _OverError
        if how == "hang":
            self._closing.wait(10)
            raise _OverError
        reply = good if how in ("ok", "shut") else how
        if message_id:
            with self._lock:
                (self.seen.taken if reply.startswith("250") else self.seen.refused)[message_id] += 1
        line.write(reply.encode() + b"\r\n")
        line.flush()
        self._point(step, "after")
        if how == "shut" or reply.startswith("421"):
            raise _OverError
        return reply

    def _point(self, step: str, side: str) -> None:
        with self._lock:
            hit = self.kill_on == (step, side)
            if self.kill_at is not None:
                self.kill_at -= 1
                hit = hit or self.kill_at == 0
            if not hit or self.victim is None:
                return
            self.kill_at = self.kill_on = None
            with suppress(ProcessLookupError):
                os.kill(self.victim, signal.SIGKILL)
            self.victim = None
        if side == "before":
            raise _OverError


class _OverError(Exception):
    """This connection is over."""
