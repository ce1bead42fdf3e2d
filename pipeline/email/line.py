"""A connection to a mail server on an event loop: the socket that smtplib opened, read and written without waiting.

smtplib opens, greets, encrypts and logs in; from then on one thread speaks on all connections at a time.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from contextlib import suppress

from pipeline.email.reply import Reply, said

LONGEST_LINE = 8192
LONGEST_REPLY = 64 * 1024
_PIECE = 64 * 1024
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def first_reply(heard: bytes | bytearray) -> tuple[Reply, int] | None:
    """The first whole reply (RFC 5321, 4.2.1) of what was heard and its length in bytes; None when more has to come.

    What is not a reply has the code -1. Raises smtplib.SMTPResponseException for one that does not end. Pure.
    """
    texts: list[bytes] = []
    at = 0
    while (end := heard.find(b"\n", at, at + LONGEST_LINE + 1)) >= 0:
        line = bytes(heard[at:end])
        at = end + 1
        texts.append(line[4:].strip(b" \t\r\n"))
        code = int(line[:3]) if line[:3].isdigit() and len(line[:3]) == 3 else -1
        if code < 0 or line[3:4] != b"-":
            return said(code, b"\n".join(texts)), at
        if at > LONGEST_REPLY:
            break
    if at > LONGEST_REPLY or len(heard) - at > LONGEST_LINE:
        raise smtplib.SMTPResponseException(500, "a reply that does not end")
    return None


class Line:
    """One connection. Whatever ends it is raised by the next call: OSError or smtplib.SMTPException."""

    def __init__(self, server: smtplib.SMTP, timeout_s: float):
        if server.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        self._server, self._sock, self._timeout_s = server, server.sock, timeout_s
        self._loop = asyncio.get_running_loop()
        self._heard = bytearray()
        self._gone: Exception | None = None
        self._woken: asyncio.Future[None] | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sock.settimeout(0.0)
        self._loop.add_reader(self._sock, self._read)

    @property
    def quiet(self) -> bool:
        """Whether the server is there still, and has said nothing that it was not asked for."""
        return self._gone is None and not self._heard

    async def ask(self, command: str) -> Reply:
        """Send a command and read its reply."""
        if "\r" in command or "\n" in command:
            raise ValueError("a command is one line")
        await self.write(command.encode("ascii") + b"\r\n")
        return await self.reply()

    async def reply(self) -> Reply:
        """The next reply."""
        while (found := first_reply(self._heard)) is None:
            if self._gone is not None:
                raise self._gone
            await self._wait()
        reply, length = found
        del self._heard[:length]
        return reply

    async def write(self, data: bytes) -> None:
        """Hand over all of it to the socket."""
        rest = memoryview(data)
        while rest:
            if self._gone is not None:
                raise self._gone
            try:
                sent = self._sock.send(rest)
            except ssl.SSLWantReadError:
                await self._wait()
            except _NOT_NOW:
                self._loop.add_writer(self._sock, self._wake)
                try:
                    await self._wait()
                finally:
                    self._loop.remove_writer(self._sock)
            else:
                rest = rest[sent:]

    async def quit(self) -> None:
        """Say goodbye, or hang up."""
        with suppress(OSError, smtplib.SMTPException):
            await self.ask("QUIT")
        self.close()

    def close(self) -> None:
        """Hang up. Twice does no harm."""
        self._end(smtplib.SMTPServerDisconnected("closed"))
        self._server.close()

    def _end(self, why: Exception) -> None:
        if self._gone is None:
            self._gone = why
            self._loop.remove_reader(self._sock)
            if self._timer is not None:
                self._timer.cancel()
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _wait(self) -> None:
        """Until something happens on the socket; the line ends when nothing does for so long."""
        self._woken = self._loop.create_future()
        self._due = self._loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._late)
        await self._woken

    def _late(self) -> None:
        """One timer for all waits: it looks again when the wait that it was set for is over."""
        self._timer = None
        if self._woken is None or self._woken.done():
            return
        if self._loop.time() >= self._due:
            self._end(TimeoutError(f"silent for {self._timeout_s:g} s"))
        else:
            self._timer = self._loop.call_at(self._due, self._late)

    def _read(self) -> None:
        try:
            self._hear(self._sock.recv(_PIECE))
            # What a TLS record has left over wakes no selector.
            while self._gone is None and isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
                self._hear(self._sock.recv(_PIECE))
        except _NOT_NOW:
            pass
        except OSError as e:
            self._end(e)
        self._wake()

    def _hear(self, piece: bytes) -> None:
        if not piece:
            self._end(smtplib.SMTPServerDisconnected("the server closed the connection"))
        self._heard += piece
        if len(self._heard) > LONGEST_REPLY:
            self._end(smtplib.SMTPResponseException(500, "more than any reply has"))
