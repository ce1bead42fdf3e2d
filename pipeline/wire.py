"""HTTP/1.1 for feeds: thousands of conditional GETs in one pass, each at a tenth of the CPU of a general client.

Guarded like everything fetched: `guard` checks the address that is connected to, on every hop; no proxy, no cookie. A
host is given two connections at most, whoever redirects to it, and a connection is used again while it lasts.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import TracebackType

from pipeline.errors import FetchError, RefusedError
from pipeline.guard import Refusal, checked_addresses, is_literal, listing, tls
from pipeline.http1 import MOST_HEAD, Line, Reply, WireError, request_headers
from pipeline.settings import FeedSettings
from pipeline.urls import Hops, Target, Way, redact, target

A_HOST = 2
"""Connections to one host at a time."""
CONNECT_S = 10.0
ONE_ADDRESS_S = 3.0
"""For each but the last of a name's addresses: many homes have an IPv6 that leads nowhere."""
MOST_IDLE = 32
NAMES = 100
"""Names asked for at a time; threads come as they are needed. With fewer, some names whose servers never answer would
hold up all others."""


class Deadline:
    """`asyncio.timeout` that stands still while we wait for ourselves: for a free connection, or for room."""

    def __init__(self, seconds: float):
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> Deadline:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        when = self._timeout.when()
        assert when is not None
        left = when - loop.time()
        self._timeout.reschedule(None)
        try:
            yield
        finally:
            self._timeout.reschedule(loop.time() + left)


class Wire:
    """The connections of one pass. Use it as `async with Wire(settings.feed) as wire`."""

    def __init__(self, feed: FeedSettings, *, connect_s: float = CONNECT_S):
        self._allow, self._connect_s = listing(feed.allow_hosts), connect_s
        self._common = "".join(f"{k}: {v}\r\n" for k, v in request_headers(feed).items())
        self._idle: OrderedDict[tuple[str, str, int], list[Line]] = OrderedDict()
        self._busy: dict[str, int] = {}
        self._turn: dict[str, deque[asyncio.Future[None]]] = {}
        self._names: ThreadPoolExecutor | None = None
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for lines in self._idle.values():
            for line in lines:
                line.writer.transport.abort()
        self._idle.clear()
        if self._names is not None:
            self._names.shutdown(wait=False, cancel_futures=True)
        await asyncio.sleep(0)  # the transports close in the loop's next round

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str] | None = None, *, deadline: Deadline
    ) -> AsyncIterator[tuple[Reply, Hops]]:
        """GET with redirects followed; the body is not read yet. Raises FetchError, PermanentError, RefusedError."""
        way = Way(url, headers)
        while True:
            to = target(way.at)
            await self._enter(to.host, deadline)
            try:
                reply = await self._ask(to, way.headers())
                try:
                    if not way.follow(reply.status, reply.headers.get("location")):
                        yield reply, way.hops()
                        return
                finally:
                    self._release(to, reply)
            except (OSError, EOFError, ValueError) as e:
                raise _failed(way.at, e) from e
            finally:
                self._leave(to.host)

    async def _enter(self, host: str, deadline: Deadline) -> None:
        """Wait for one of the host's connections. The turn is handed on, so nobody overtakes."""
        if self._busy.get(host, 0) < A_HOST:
            self._busy[host] = self._busy.get(host, 0) + 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turn.setdefault(host, deque()).append(turn)
        async with deadline.paused():
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave(host)
                raise

    def _leave(self, host: str) -> None:
        waiting = self._turn.get(host)
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._turn.pop(host, None)
        self._busy[host] -= 1
        if not self._busy[host]:
            del self._busy[host]

    async def _ask(self, to: Target, headers: Mapping[str, str]) -> Reply:
        if any(c in text for pair in headers.items() for text in pair for c in "\r\n\0"):
            raise RefusedError("A header of the request has a line break", url=redact(to.url))
        own = f"GET {to.path} HTTP/1.1\r\nHost: {to.authority}\r\n"
        lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        request = f"{own}{self._common}{lines}\r\n".encode("latin-1", "replace")
        while True:
            line = self._reuse(to) or await self._connect(to)
            try:
                line.writer.write(request)
                return await line.reply()
            except BaseException as e:
                line.writer.transport.abort()
                if line.used and not line.ahead and isinstance(e, OSError):
                    continue  # it was closed while it lay idle; a fresh one tells the truth
                raise

    def _reuse(self, to: Target) -> Line | None:
        lines = self._idle.get(to.origin)
        while lines:
            line = lines.pop()
            if not lines:
                del self._idle[to.origin]
            # The server may have closed it, or spoken without being asked.
            if not line.reader.at_eof() and not line.writer.is_closing() and not line.reader._buffer:  # type: ignore[attr-defined]
                line.used = True
                return line
            line.writer.transport.abort()
        return None

    def _release(self, to: Target, reply: Reply) -> None:
        line = reply.line
        if not (reply.keeps and (reply.done or reply.length == 0)) or line.ahead:
            line.writer.transport.abort()
            return
        self._idle.setdefault(to.origin, []).append(line)
        self._idle.move_to_end(to.origin)
        if len(self._idle) > MOST_IDLE:
            for old in self._idle.popitem(last=False)[1]:
                old.writer.transport.abort()

    async def _connect(self, to: Target) -> Line:
        try:
            async with asyncio.timeout(self._connect_s):
                return await self._connect_any(to, await self._addresses(to))
        except TimeoutError as e:
            raise WireError(f"no connection within {self._connect_s:.0f} s") from e

    async def _addresses(self, to: Target) -> list[str]:
        if is_literal(to.host):
            return checked_addresses(to.host, to.port, self._allow)
        if self._names is None:
            self._names = ThreadPoolExecutor(NAMES, thread_name_prefix="names")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._names, checked_addresses, to.host, to.port, self._allow)

    async def _connect_any(self, to: Target, addresses: list[str]) -> Line:
        context = None
        if to.scheme == "https":
            context = self._tls = self._tls or tls()
        name = to.host if context else None
        for k, address in enumerate(addresses, 1):
            try:
                async with asyncio.timeout(None if k == len(addresses) else ONE_ADDRESS_S):
                    return Line(
                        *await asyncio.open_connection(
                            address, to.port, limit=MOST_HEAD, ssl=context, server_hostname=name
                        )
                    )
            except OSError:
                if k == len(addresses):
                    raise
        raise WireError(f"{to.host} has no address")


def _failed(url: str, e: Exception) -> FetchError | RefusedError:
    if isinstance(e, Refusal):
        return RefusedError(f"{redact(url)} is refused", why=str(e))
    return FetchError(f"{redact(url)} could not be reached", why=str(e) or type(e).__name__)
