"""Nothing fetched reaches a private address, in whatever notation and on whatever hop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline import guard, transport
from pipeline.errors import FetchError, PermanentError, RefusedError
from pipeline.settings import FeedSettings

ATTACKS = [
    "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
    "http://0/", "http://localhost/", "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[::127.0.0.1]/",
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/", "http://240.0.0.1/", "http://255.255.255.255/", "http://224.0.0.1/", "http://[fe80::1]/",
    "http://[fc00::1]/", "http://[ff02::1]/", "http://192.0.0.1/", "http://198.18.0.1/", "http://[fec0::1]/",
    "http://user@127.0.0.1/", "http://example.org@127.0.0.1/", "http://127.0.0.1:22/", "http://127.0.0.1:0/",
    "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "data:text/xml,<rss/>", "javascript:alert(1)",
    "//127.0.0.1/", "http://", "http:///x", "http://[::1", "http://127.0.0.1:99999/",
]  # fmt: skip


@pytest.mark.parametrize("url", ATTACKS)
def test_attacks_are_refused(url: str) -> None:
    with transport.client(FeedSettings(), timeout_s=2) as client:  # type: ignore[call-arg]
        with pytest.raises(RefusedError):
            transport.get(client, url, max_bytes=1000, timeout_s=2)


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, Answer]]]:
    answers: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers[self.path](self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{s.server_address[1]}", answers
        s.shutdown()
        thread.join()


def redirect(to: str, status: int = 302) -> Answer:
    def answer(h: BaseHTTPRequestHandler) -> None:
        h.send_response(status)
        h.send_header("Location", to)
        h.send_header("Content-Length", "0")
        h.end_headers()

    return answer


def text(body: bytes) -> Answer:
    def answer(h: BaseHTTPRequestHandler) -> None:
        h.send_response(200)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    return answer


def settings(base: str) -> FeedSettings:
    return FeedSettings(allow_hosts=(base.removeprefix("http://"),))  # type: ignore[call-arg]


def test_the_allowed_host_and_port_only(server: tuple[str, dict[str, Answer]]) -> None:
    base, answers = server
    answers["/"] = text(b"hello")
    answers["/out"] = redirect("http://127.0.0.1:1/")
    with transport.client(settings(base)) as client:
        assert transport.get(client, base + "/", max_bytes=10, timeout_s=5).body == b"hello"
        with pytest.raises(RefusedError):
            transport.get(client, base + "/out", max_bytes=10, timeout_s=5)
        with pytest.raises(RefusedError, match="larger"):
            transport.get(client, base + "/", max_bytes=3, timeout_s=5)


def test_redirects_are_counted_and_bounded(server: tuple[str, dict[str, Answer]]) -> None:
    base, answers = server
    answers["/loop"] = redirect("/loop")
    answers["/a"], answers["/b"], answers["/c"] = redirect("/b", 301), redirect("/c", 302), text(b"x")
    with transport.client(settings(base)) as client:
        with pytest.raises(PermanentError, match="redirects more"):
            transport.get(client, base + "/loop", max_bytes=10, timeout_s=5)
        with transport.stream(client, base + "/a") as (_, hops):
            assert (hops.permanent_url, hops.final_url) == (base + "/b", base + "/c")


def test_a_name_that_changes_its_answer_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["93.184.216.34", "127.0.0.1"])

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert guard.checked_addresses("rebind.example.org", 80, ()) == ["93.184.216.34"]
    with pytest.raises(guard.Refusal):
        guard.checked_addresses("rebind.example.org", 80, ())


def test_a_server_that_is_away_is_transient(server: tuple[str, dict[str, Answer]]) -> None:
    allowed = FeedSettings(allow_hosts=("127.0.0.1:1",))  # type: ignore[call-arg]
    with transport.client(allowed) as client, pytest.raises(FetchError):
        transport.get(client, "http://127.0.0.1:1/", max_bytes=10, timeout_s=2)


def test_credentials_stay_out_of_messages() -> None:
    assert transport.redact("https://user:secret@example.org/x") == "https://example.org/x"
