"""Connections to a language model's server: used again, closed when cancelled, and firm with what is no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from pipeline.insight import llm_http
from pipeline.insight.llm_http import BrokenOffError, Connections, TooLongError, UnreachableError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: V\r\n\r\nhi"
T = TypeVar("T")


class Raw:
    """Sends given bytes for each request, in turn, then hangs up after the last; keeps what was asked."""

    def __init__(self, *answers: bytes, hold: bool = False):
        self.answers, self.hold = list(answers), hold
        self.asked: list[bytes] = []
        self.connections = 0
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.answers.pop(0))
                await writer.drain()
                if self.hold:
                    await reader.read()
                    self.left.set()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def ask(raw: Callable[[], Raw], work: Callable[[Connections, Raw], Awaitable[T]], url: str = "http://{}") -> T:
    async def go() -> T:
        made = raw()
        server = await asyncio.start_server(made, "127.0.0.1", 0)
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connections = Connections(url.format(host), {"Authorization": "Bearer k"} if "@" not in url else {})
        try:
            return await work(connections, made)
        finally:
            await connections.close()
            server.close()
            await server.wait_closed()

    return asyncio.run(go())


def test_a_connection_is_used_again() -> None:
    async def work(c: Connections, raw: Raw) -> None:
        for _ in range(3):
            answer = await c.request("GET", "/v1/models")
            assert (answer.status, answer.headers["x-name"], answer.body) == (200, "V", b"hi")
        assert raw.connections == 1
        assert raw.asked[0].startswith(b"GET /v1/models HTTP/1.1\r\n") and b"Authorization: Bearer k" in raw.asked[0]

    ask(lambda: Raw(OK, OK, OK, OK), work)


def test_one_that_the_server_closed_is_replaced() -> None:
    async def work(c: Connections, raw: Raw) -> None:
        await c.request("GET", "/")
        await asyncio.sleep(0.05)
        raw.answers.append(OK)
        assert (await c.request("GET", "/")).body == b"hi"
        assert raw.connections == 2

    ask(lambda: Raw(OK), work)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 503 Full\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b""),
    ],
    ids=["chunked", "unbounded", "interim", "close"],
)
def test_forms_of_an_answer(sent: bytes, body: bytes) -> None:
    async def work(c: Connections, raw: Raw) -> bytes:
        return (await c.request("GET", "/")).body

    assert ask(lambda: Raw(sent), work) == body


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 9000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["nothing", "not HTTP", "short", "endless head", "bad chunk"],
)
def test_what_is_no_answer_broke_off(sent: bytes) -> None:
    async def work(c: Connections, raw: Raw) -> None:
        with pytest.raises(BrokenOffError):
            await c.request("GET", "/")

    ask(lambda: Raw(sent), work)


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_http, "MAX_BYTES", 1000)

    async def work(c: Connections, raw: Raw) -> None:
        with pytest.raises(TooLongError):
            await c.request("GET", "/")

    ask(lambda: Raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000), work)


def test_cancelling_hangs_up() -> None:
    async def work(c: Connections, raw: Raw) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await c.request("GET", "/")
        await asyncio.wait_for(raw.left.wait(), 2)

    ask(lambda: Raw(b"", hold=True), work)


def test_prefix_and_password_of_the_address() -> None:
    async def work(c: Connections, raw: Raw) -> bytes:
        await c.request("POST", "/v1/x", b"{}")
        return raw.asked[0]

    asked = ask(lambda: Raw(OK), work, "http://ada:p%40ss@{}/llm")
    assert asked.startswith(b"POST /llm/v1/x HTTP/1.1") and b"Basic YWRhOnBAc3M=" in asked
    assert b"Host: 127.0.0.1:" in asked and b"Content-Length: 2" in asked


def test_a_key_that_is_no_header_is_not_shown() -> None:
    async def go(raw: Raw) -> str:
        server = await asyncio.start_server(raw, "127.0.0.1", 0)
        root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            with pytest.raises(BrokenOffError) as broke:
                await Connections(root, {"Authorization": "Bearer se\ncret"}).request("GET", "/")
            return str(broke.value)
        finally:
            server.close()
            await server.wait_closed()

    said = asyncio.run(go(Raw(OK)))
    assert "llm.api_key" in said and "cret" not in said


def test_nobody_there() -> None:
    async def go() -> None:
        with pytest.raises(UnreachableError):
            await Connections("http://127.0.0.1:1", {}).request("GET", "/")
        with pytest.raises(UnreachableError):
            await Connections("http://no-such-host.invalid", {}).request("GET", "/")

    asyncio.run(go())
