"""A small HTTP server on a free port of 127.0.0.1 that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """`answers` by path; `asked` has the path and headers of each request, in order, `posted` the bodies of posts."""

    def __init__(self, host: str):
        self.host = host
        self.base = f"http://{host}"
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Message]] = []
        self.posted: list[bytes] = []


@contextmanager
def serve() -> Iterator[Site]:
    """A running site; its threads have ended when the block has."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers))
            with suppress(OSError):  # the client hung up, as some tests want
                site.answers[self.path](self)

        def do_POST(self) -> None:
            site.posted.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def send(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    """A complete answer; `Content_Type="..."` becomes Content-Type, and a stated Content_Length is sent as it is."""

    def answer(h: BaseHTTPRequestHandler) -> None:
        h.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            h.send_header(name.replace("_", "-"), value)
        h.end_headers()
        h.wfile.write(body)

    return answer


def redirect(to: str, status: int = 302) -> Answer:
    return send(status=status, Location=to)


def drip(stop: threading.Event, head: bytes, each: bytes) -> Answer:
    """Sends `head`, then `each` ten times a second until `stop`."""

    def answer(h: BaseHTTPRequestHandler) -> None:
        h.close_connection = True
        h.wfile.write(head)
        while not stop.wait(0.1):
            h.wfile.write(each)

    return answer
