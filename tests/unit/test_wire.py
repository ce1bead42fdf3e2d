"""The way to feeds: connections used again, two a host, nothing taken from one answer into the next."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import guard, transport, wire
from pipeline.errors import FetchError, RefusedError
from pipeline.settings import FeedSettings
from pipeline.wire import Deadline, Wire

SETTINGS = FeedSettings(allow_hosts=("127.0.0.1", "feeds.example"))  # type: ignore[call-arg]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ok(body: bytes = b"x", *lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *lines, b"", body])


async def ask(w: Wire, url: str, headers: dict[str, str] | None = None, seconds: float = 5) -> bytes:
    async with Deadline(seconds) as deadline, w.stream(url, headers, deadline=deadline) as (reply, _hops):
        return b"".join([piece async for piece in reply.raw()])


class Served:
    """A server that answers each request on each connection as `answer(connection, request)` says."""

    def __init__(self, answer: Callable[[int, bytes], bytes | None], late_s: float = 0.0):
        self.answer, self.late_s = answer, late_s
        self.connections = self.open = self.most_open = 0
        self.requests: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(request)
                await asyncio.sleep(self.late_s)
                said = self.answer(number, request)
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


def run(served: Served, test: Callable[[str], Awaitable[None]]) -> None:
    async def both() -> None:
        async with await asyncio.start_server(served.talk, "127.0.0.1", 0) as server:
            await test(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    asyncio.run(both())


def test_a_connection_is_used_again() -> None:
    served = Served(lambda _n, request: ok(request.split(b" ")[1]))

    async def test(base: str) -> None:
        async with Wire(SETTINGS) as w:
            assert [await ask(w, f"{base}/{k}") for k in range(5)] == [b"/%d" % k for k in range(5)]

    run(served, test)
    assert served.connections == 1 and len(served.requests) == 5


def test_one_that_was_closed_meanwhile_is_replaced() -> None:
    served = Served(lambda n, request: ok(b"%d" % n) if n > 1 or b"/first" in request else None)

    async def test(base: str) -> None:
        async with Wire(SETTINGS) as w:
            assert await ask(w, base + "/first") == b"1"
            assert await ask(w, base + "/second") == b"2"

    run(served, test)


@pytest.mark.parametrize(
    "first",
    [
        ok(b"one") + ok(b"smuggled"),
        ok(b"one", b"Transfer-Encoding: identity") + ok(b"smuggled"),
        b"HTTP/1.1 204 No Content\r\nContent-Length: 60\r\n\r\n" + ok(b"smuggled"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding:\r\n chunked\r\n\r\none" + ok(b"smuggled"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\none\r\n0\r\n\r\n"
        + ok(b"smuggled"),
    ],
    ids=["behind it", "identity", "204", "folded", "both"],
)
def test_what_comes_unasked_answers_nothing(first: bytes) -> None:
    served = Served(lambda n, request: first if b"/evil" in request else ok(b"honest"))

    async def test(base: str) -> None:
        async with Wire(SETTINGS) as w:
            with suppress(FetchError):
                await ask(w, base + "/evil")
            await asyncio.sleep(0.05)
            assert await ask(w, base + "/next") == b"honest"

    run(served, test)


def test_two_connections_a_host_also_by_redirects() -> None:
    served = Served(lambda _n, request: ok(b"x", b"Connection: close"), late_s=0.01)
    target = ""

    def moved(_n: int, _request: bytes) -> bytes:
        return b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % target.encode()

    async def test(base: str) -> None:
        nonlocal target
        target = base + "/there"
        doors = [await asyncio.start_server(Served(moved).talk, f"127.0.0.{k}", 0) for k in range(2, 7)]
        everybody = FeedSettings(allow_hosts=tuple(f"127.0.0.{k}" for k in range(1, 7)))  # type: ignore[call-arg]
        try:
            async with Wire(everybody) as w:
                urls = [f"http://127.0.0.{k}:{d.sockets[0].getsockname()[1]}/" for k, d in enumerate(doors, 2)] * 3
                assert await asyncio.gather(*(ask(w, u) for u in urls)) == [b"x"] * 15
        finally:
            for d in doors:
                d.close()

    run(served, test)
    assert len(served.requests) == 15 and served.most_open == 2


def test_waiting_for_a_turn_costs_no_time() -> None:
    served = Served(lambda _n, _request: ok(), late_s=0.15)

    async def test(base: str) -> None:
        async with Wire(SETTINGS) as w:
            # The last of them waits for 0.75 s, which is more than it has.
            assert await asyncio.gather(*(ask(w, base, seconds=0.6) for _ in range(12))) == [b"x"] * 12

    run(served, test)


def test_a_request_is_one_request() -> None:
    """Neither an address nor a remembered header can add lines to it."""
    served = Served(lambda _n, _request: ok())

    async def test(base: str) -> None:
        async with Wire(SETTINGS) as w:
            await ask(w, base + "/a b\r\nX-Evil: 1\r\n\r\nGET /second HTTP/1.1?q=ä\r\nX: y")
            await ask(w, base + "/%0d%0aX-Evil:%201")
            for bad in ("a\r\nX-Evil: 1", "a\nb", "a\0b", "a\rb"):
                with pytest.raises(RefusedError, match="line break"):
                    await ask(w, base, {"If-None-Match": bad})

    run(served, test)
    assert len(served.requests) == 2
    for request in served.requests:
        lines = request.decode().split("\r\n")
        assert [line.partition(":")[0] for line in lines[1:-2]] == ["Host", "User-Agent", "Accept", "Accept-Encoding"]
        assert not any(line.lower().startswith("x-evil") for line in lines)


def test_an_address_that_leads_nowhere_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken IPv6 of many homes: its packets vanish."""
    served = Served(lambda _n, _request: ok(b"here"))
    monkeypatch.setattr(wire, "ONE_ADDRESS_S", 0.2)
    monkeypatch.setattr(wire, "checked_addresses", lambda *_: ["192.0.2.1", "127.0.0.1"])
    plain = asyncio.open_connection

    async def connect(host: str, *args: Any, **more: Any) -> Any:
        if host == "192.0.2.1":
            await asyncio.sleep(60)
        return await plain(host, *args, **more)

    monkeypatch.setattr(asyncio, "open_connection", connect)

    async def test(base: str) -> None:
        async with Wire(SETTINGS) as w:
            assert await ask(w, base.replace("127.0.0.1", "feeds.example")) == b"here"

    run(served, test)


def test_names_that_nobody_answers_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(lambda _n, _request: ok(b"here"))
    plain = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **more: Any) -> Any:
        if str(host).startswith("slow"):
            time.sleep(1.5)
            raise socket.gaierror("no answer")
        return plain("127.0.0.1" if host == "feeds.example" else host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def test(base: str) -> None:
        async with Wire(SETTINGS) as w:
            slow = [asyncio.ensure_future(ask(w, f"http://slow{k}.example/")) for k in range(40)]
            await asyncio.sleep(0.1)
            began = time.monotonic()
            assert await ask(w, base.replace("127.0.0.1", "feeds.example")) == b"here"
            assert time.monotonic() - began < 1.2
            assert all(isinstance(e, FetchError) for e in await asyncio.gather(*slow, return_exceptions=True))

    run(served, test)


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's certificate that nobody has signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("feeds.example")])
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    own, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "c.pem").write_bytes(
        signed.public_bytes(own) + key.private_bytes(own, serialization.PrivateFormat.PKCS8, plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "c.pem")
    return context


def test_a_certificate_that_nobody_signed_is_refused_on_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(lambda _n, _request: ok())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))  # the environment has no say in whom we trust
    guard.tls.cache_clear()

    async def both(context: ssl.SSLContext) -> None:
        async with await asyncio.start_server(served.talk, "127.0.0.1", 0, ssl=context) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            async with Wire(SETTINGS) as w:
                with pytest.raises(FetchError, match="CERTIFICATE_VERIFY"):
                    await ask(w, url)

            def other() -> None:
                with transport.client(SETTINGS) as c, pytest.raises(FetchError, match="CERTIFICATE_VERIFY"):
                    transport.get(c, url, max_bytes=10, timeout_s=5)

            await asyncio.to_thread(other)

    asyncio.run(both(certificate(tmp_path)))
    guard.tls.cache_clear()
    assert served.requests == []
