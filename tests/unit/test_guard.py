"""Which addresses may be reached; a request's time is up when it is, however the bytes drip."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from pipeline import guard, transport
from pipeline.errors import FetchError
from pipeline.settings import FeedSettings
from tests.fakes.http_server import drip, serve

REFUSED = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1",
    "100.127.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.251", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1",
    "64:ff9b::a00:1", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:a00:1::", "2606:4700::5efe:a00:1",
    "2606:4700::200:5efe:10.0.0.1", "3fff::1", "5f00::1", "100::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "", "localhost", "1.2.3", "0x7f.1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address: str) -> None:
    assert guard.refusal(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "1.1.1.1"])
def test_public_addresses_pass(address: str) -> None:
    assert guard.refusal(address) is None


@pytest.mark.parametrize(
    ("host", "port", "entry", "listed"),
    [
        ("Media.Example.org", 80, "media.example.org", True),
        ("media.example.org", 8080, "media.example.org:8080", True),
        ("media.example.org", 80, "media.example.org:8080", False),
        ("evil-media.example.org", 80, "media.example.org", False),
        ("media.example.org.evil.net", 80, "media.example.org", False),
        ("::1", 80, "::1", True),
        ("::1", 8080, "[::1]:8080", True),
        ("::1", 80, "[::1]:8080", False),
        ("127.0.0.1", 80, "localhost", False),
    ],
)
def test_the_operators_list(host: str, port: int, entry: str, listed: bool) -> None:
    assert guard.allowed(host, port, (entry,)) is listed


def resolved(*addresses: str) -> Any:
    return lambda _host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]


def test_one_bad_address_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolved("93.184.216.34", "10.0.0.1"))
    with pytest.raises(guard.Refusal):
        guard.checked_addresses("mixed.example.org", 80, ())


def test_a_bad_address_behind_many_good_ones_refuses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"93.184.216.{k}" for k in range(1, 200)]
    monkeypatch.setattr(socket, "getaddrinfo", resolved(*many))
    assert len(guard.checked_addresses("many.example.org", 80, ())) == guard.MOST_ADDRESSES
    monkeypatch.setattr(socket, "getaddrinfo", resolved(*many, "127.0.0.1"))
    with pytest.raises(guard.Refusal):
        guard.checked_addresses("many.example.org", 80, ())


def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    connected: list[tuple[str, int]] = []

    def once(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        return resolved("93.184.216.34" if len(asked) == 1 else "127.0.0.1")(host, port)

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", once)
    monkeypatch.setattr(socket, "create_connection", connect)
    with transport.client(FeedSettings()) as client:  # type: ignore[call-arg]
        with pytest.raises(FetchError):
            transport.get(client, "http://rebind.example.org/", max_bytes=10, timeout_s=5)
    assert connected == [("93.184.216.34", 80)] and asked == ["rebind.example.org"]


@pytest.mark.parametrize(
    ("head", "each"),
    [(b"HTTP/1.1 200 OK\r\nX: ", b"x"), (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x")],
    ids=["headers", "body"],
)
def test_dripping_bytes_buy_no_time(head: bytes, each: bytes) -> None:
    stop = threading.Event()
    allowed = FeedSettings(allow_hosts=("127.0.0.1",))  # type: ignore[call-arg]
    with serve() as site, transport.client(allowed, timeout_s=20) as client:
        site.answers["/"] = drip(stop, head, each)
        began = time.monotonic()
        try:
            with pytest.raises(FetchError, match="timed out"):
                transport.get(client, site.base + "/", max_bytes=10_000, timeout_s=0.5)
            assert time.monotonic() - began < 3
        finally:
            stop.set()


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://a.example.org/x?y#z", ("https://a.example.org/x?y#z", None, None)),
        ("https://me:p%40ss@a.example.org:8/x", ("https://a.example.org:8/x", "me", "p@ss")),
        ("https://token@a.example.org/", ("https://a.example.org/", "token", "")),
        ("http://[::1", ("http://[::1", None, None)),
    ],
)
def test_credentials_are_split_off(url: str, parts: tuple[str, str | None, str | None]) -> None:
    assert transport.split_credentials(url) == parts
