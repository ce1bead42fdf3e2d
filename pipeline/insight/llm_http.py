"""Keep-alive connections to the one server of the language model: HTTP/1.1 by h11 over asyncio's streams.

A server answers hundreds of one-token prompts a second. httpx, whose pool looks at each connection for each request,
kept one with 64 places and half-second answers busy for 0.69 of its time, this for 0.97 (bench/llm_client.py).
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11

CONNECT_S = 10.0
MAX_BYTES = 8_000_000
_CHUNK = 65_536


class UnreachableError(Exception):
    """No connection could be made."""


class BrokenOffError(Exception):
    """The connection ended, or what came over it is no HTTP, before the answer was whole."""


class TooLongError(Exception):
    """The answer has more than MAX_BYTES."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection


class Connections:
    """As many as requests are under way; they are used again, the last one first. For one event loop."""

    def __init__(self, root: str, headers: dict[str, str]):
        """`root` is an http(s) address without a query; a user and password in it become basic authentication."""
        to = urlsplit(root)
        self._host = to.hostname or ""
        self._port = to.port or (443 if to.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if to.scheme == "https" else None
        self._prefix = to.path
        basic = {}
        if to.username is not None:
            pair = f"{unquote(to.username)}:{unquote(to.password or '')}"
            basic["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        shared = {"Host": to.netloc.rpartition("@")[2], "Accept-Encoding": "identity"} | basic | headers
        self._headers = list(shared.items())
        self._idle: list[_Connection] = []

    async def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """One answer, whole. Cancelling it closes its connection, by which the server knows.

        Raises UnreachableError, BrokenOffError, TooLongError. Has no time limit of its own but for connecting.
        """
        connection = await self._connect()
        try:
            answer = await self._exchange(connection, method, path, body)
            if connection.state.our_state is h11.DONE and connection.state.their_state is h11.DONE:
                connection.state.start_next_cycle()
                self._idle.append(connection)
            else:
                connection.writer.close()
        except h11.LocalProtocolError:
            connection.writer.close()
            # Its own message would show the key.
            raise BrokenOffError("the request is no HTTP; look at llm.url and llm.api_key") from None
        except (OSError, h11.ProtocolError) as e:
            connection.writer.close()
            raise BrokenOffError(str(e) or type(e).__name__) from e
        except BaseException:
            connection.writer.close()
            raise
        return answer

    async def close(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.writer.close()
        await asyncio.gather(*(c.writer.wait_closed() for c in idle), return_exceptions=True)

    async def _connect(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.close()
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=_CHUNK)
        except (OSError, TimeoutError, UnicodeError) as e:
            raise UnreachableError(str(e) or "no connection in time") from e
        return _Connection(reader, writer, h11.Connection(h11.CLIENT))

    async def _exchange(self, connection: _Connection, method: str, path: str, body: bytes | None) -> Answer:
        headers = self._headers
        if body is not None:
            headers = [*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        state, writer = connection.state, connection.writer
        data = state.send(h11.Request(method=method, target=self._prefix + path, headers=headers)) or b""
        if body is not None:
            data += state.send(h11.Data(data=body)) or b""
        writer.write(data + (state.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        status, found, raw = 0, dict[str, str](), bytearray()
        while True:
            event = state.next_event()
            if event is h11.NEED_DATA:
                state.receive_data(await connection.reader.read(_CHUNK))
            elif isinstance(event, h11.Response):
                status = event.status_code
                found = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                raw += event.data
                if len(raw) > MAX_BYTES:
                    raise TooLongError(f"more than {MAX_BYTES:,} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, found, bytes(raw))
            elif not isinstance(event, h11.InformationalResponse):
                raise BrokenOffError("the connection was closed")
