"""The attack suite: addresses, names and redirects that lead inside. Each is tried on both ways out (the one to feeds
and the one to documents and audio), directly and behind a redirect of a server that may be asked, and none makes a
connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import transport
from pipeline.errors import FetchError, PodsiftError, RefusedError
from pipeline.feed.fetch import fetch
from pipeline.records import FeedForUpdate
from pipeline.settings import FeedSettings
from pipeline.wire import Wire
from tests.fakes.http_server import Site, redirect, send, serve

PLACES = [
    # loopback, in every notation that a resolver or a browser takes
    "http://127.0.0.1/", "http://127.0.0.1:8080/", "http://127.1/", "http://127.0.1/", "http://2130706433/",
    "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://017700000001/", "http://0/", "http://0.0.0.0/",
    "http://127.255.255.254/", "http://localhost/", "http://LOCALHOST./", "http://[::1]/", "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/", "http://%31%32%37.0.0.1/", "http://１２７.0.0.1/", "http://127。0。0。1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    # IPv4 inside IPv6
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a00:1]/", "http://[2002:7f00:1::]/", "http://[2001:0:7f00:1::]/",
    "http://[2606:4700::5efe:10.0.0.1]/", "http://[::ffff:0:10.0.0.1]/", "http://[::ffff:169.254.169.254]/",
    # private, shared, link-local and reserved networks, among them the clouds' metadata servers
    "http://10.0.0.1/", "http://10.255.255.255/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/", "http://169.254.170.2/v2/credentials", "http://2852039166/",
    "http://100.64.0.1/", "http://100.100.100.200/", "http://192.0.0.192/", "http://198.18.0.1/", "http://240.0.0.1/",
    "http://255.255.255.255/", "http://224.0.0.251/", "http://192.0.2.1/", "http://[fd00:ec2::254]/",
    "http://[fc00::1]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[fec0::1]/",
    "http://[ff02::1]/", "http://[2001:db8::1]/", "http://[100::1]/", "http://[3fff::1]/",
    # zones of addresses that would be public without them
    "http://[2606:4700::1111%25lo]/", "http://[2606:4700::1111%lo]/",
    # user names that look like hosts, and hosts that look like paths
    "http://example.org@127.0.0.1/", "http://example.org:80@127.0.0.1/", "http://example.org%40127.0.0.1/",
    "http://127.0.0.1#@example.org/", "http://127.0.0.1?@example.org/",
    "http://127.0.0.1\\@example.org/", "http://example.org\\@127.0.0.1/", "http:\\\\127.0.0.1/", "http:///127.0.0.1/",
    "http://127.0.0.1%00.example.org/", "http://127.0.0.1%0d%0aHost:example.org/", "http://127.0.0.1 .example.org/",
    "http://[::1]@127.0.0.1/", "http://a@b@127.0.0.1/",
    # ports
    "http://127.0.0.1:22/", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://93.184.216.34:22/",
    "http://93.184.216.34:25/", "http://93.184.216.34:6379/", "http://93.184.216.34:5432/", "http://93.184.216.34:-1/",
    # other schemes
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/", "ldap://127.0.0.1/", "data:text/xml,<rss/>", "javascript:alert(1)", "unix:/run/x.sock",
    "http+unix://%2Frun%2Fx.sock/", "jar:http://127.0.0.1!/x", "ws://127.0.0.1/", "netdoc:///etc/passwd", "http://",
    "http://[::1", "//127.0.0.1/", "",
]  # fmt: skip

NAMES = {
    "loopback": ["127.0.0.1"],
    "private": ["10.1.2.3"],
    "metadata": ["169.254.169.254"],
    "mixed": ["93.184.216.34", "192.168.0.1"],
    "mixed the other way round": ["192.168.0.1", "93.184.216.34"],
    "mapped": ["::ffff:10.0.0.1"],
    "link-local with a zone": ["fe80::1%2"],
    "last of many": [*(f"93.184.216.{k}" for k in range(1, 30)), "127.0.0.1"],
    "no address": ["not an address"],
}
"""What an attacker's name server may answer."""

Ask = Callable[[str, FeedSettings], object]


def for_feeds(url: str, settings: FeedSettings) -> object:
    async def ask() -> object:
        async with Wire(settings, connect_s=2) as wire:
            return await fetch(wire, FeedForUpdate(1, url), settings)

    return asyncio.run(ask())


def for_documents(url: str, settings: FeedSettings) -> object:
    with transport.client(settings, timeout_s=2) as client:
        return transport.get(client, url, max_bytes=1000, timeout_s=2)


both_ways = pytest.mark.parametrize("ask", [for_feeds, for_documents])


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch, site: Site) -> list[Any]:
    """Addresses to which a connection was tried, other than the server's that may be asked. None gets through."""
    tried: list[Any] = []
    plain = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and f"{address[0]}:{address[1]}" == site.host:
            return plain(self, address)
        tried.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


def allowing(site: Site) -> FeedSettings:
    return FeedSettings(allow_hosts=(site.host,), timeout_s=5)  # type: ignore[call-arg]


def test_there_are_enough_of_them() -> None:
    assert len(set(PLACES)) == len(PLACES) and len(PLACES) + len(NAMES) >= 100


@both_ways
@pytest.mark.parametrize("url", PLACES)
def test_no_address_leads_inside(url: str, ask: Ask, site: Site, reached: list[Any]) -> None:
    with pytest.raises(PodsiftError) as e:
        ask(url, allowing(site))
    # A resolver may also know nothing of such a name.
    assert isinstance(e.value, RefusedError) or url == "http://LOCALHOST./"
    assert reached == []


@both_ways
@pytest.mark.parametrize("url", [u for u in PLACES if u.partition(":")[1] and u.isascii() and u.isprintable()])
def test_no_redirect_leads_inside(url: str, ask: Ask, site: Site, reached: list[Any]) -> None:
    site.answers["/out"] = redirect(url)
    site.answers["/"] = send(b"here")
    with pytest.raises(PodsiftError):
        ask(site.base + "/out", allowing(site))
    assert reached == []


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Each question for a name is answered with the next of these; returns the list of what is asked."""
    asked: list[str] = []
    plain = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if not str(host).endswith("evil.example"):
            return plain(host, port, *args, **more)
        asked.append(str(host))
        found = answers[min(len(asked), len(answers)) - 1]
        kind = socket.AF_INET6 if ":" in found[0] else socket.AF_INET
        return [(kind, socket.SOCK_STREAM, 6, "", (a, port)) for a in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


@both_ways
@pytest.mark.parametrize("answer", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("hop", ["direct", "behind a redirect"])
def test_no_name_leads_inside(
    answer: list[str], hop: str, ask: Ask, site: Site, reached: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolver(monkeypatch, answer)
    site.answers["/out"] = redirect("http://feeds.evil.example/x")
    url = "http://feeds.evil.example/" if hop == "direct" else site.base + "/out"
    with pytest.raises(RefusedError):
        ask(url, allowing(site))
    assert reached == [] and asked == ["feeds.evil.example"]


@both_ways
def test_a_name_is_asked_for_once_and_what_it_said_is_connected_to(
    ask: Ask, site: Site, reached: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer would be the rebinding: public for the check, private for the connection."""
    asked = resolver(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    with pytest.raises(FetchError):
        ask("http://rebind.evil.example/", allowing(site))
    assert [a[:2] for a in reached] == [("93.184.216.34", 80)] and asked == ["rebind.evil.example"]


@both_ways
def test_a_name_that_turns_inside_between_two_hops_is_refused(
    ask: Ask, site: Site, reached: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver(monkeypatch, ["127.0.0.1"])
    site.answers["/1"] = redirect("/2", 301)
    site.answers["/2"] = redirect(f"http://turning.evil.example:{site.host.partition(':')[2]}/3", 308)
    site.answers["/3"] = send(b"inside")
    with pytest.raises(RefusedError):
        ask(site.base + "/1", allowing(site))
    assert reached == []


@both_ways
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_no_proxy_of_the_environment_is_used(
    name: str, ask: Ask, site: Site, reached: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.answers["/x"] = send(b"directly")
    ask(site.base + "/x", allowing(site))
    assert reached == []


@both_ways
def test_redirects_that_never_end_are_left(ask: Ask, site: Site) -> None:
    site.answers["/loop"] = redirect("/loop")
    with pytest.raises(PodsiftError, match="redirects more"):
        ask(site.base + "/loop", allowing(site))


def test_nothing_that_is_fetched_goes_another_way() -> None:
    """Only the two ways out make connections, so that no part of the pipeline can forget the guard."""
    root = Path(__file__).resolve().parents[2] / "pipeline"
    ways = re.compile(
        r"httpx\.(?:Client|AsyncClient|get|stream|request)\(|open_connection\(|create_connection\(|urlopen\(|"
        r"build_opener\(|HTTPS?Connection\(|socket\.socket\(|import (?:requests|aiohttp|urllib3)"
    )
    parts = [
        p for name in ("feed", "episode", "audio", "transcript", "web", "digest") for p in (root / name).rglob("*.py")
    ]
    assert len(parts) > 40
    assert [p.name for p in (*parts, root / "stages.py") if ways.search(p.read_text("utf-8"))] == []
    both = {p.name for p in root.glob("*.py") if ways.search(p.read_text("utf-8"))}
    assert both <= {"transport.py", "wire.py", "backend.py"}
