"""Polling over real HTTP: conditions, lying servers, faults; one feed's trouble stays its own."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.clock import FixedClock
from pipeline.feed.poll import Polled, poll, poll_due
from pipeline.settings import Settings
from pipeline.store import episodes, feeds, polls
from pipeline.store.database import Database

Answer = Callable[[BaseHTTPRequestHandler], None]


def rss(*items: str) -> bytes:
    entries = "".join(
        f"<item><title>{i}</title><guid>{i}</guid><pubDate>Thu, 19 Nov 2026 08:00:00 GMT</pubDate>"
        f'<enclosure url="https://media.example.org/{i}.mp3" type="audio/mpeg"/></item>'
        for i in items
    )
    return f'<rss version="2.0"><channel><title>Show</title>{entries}</channel></rss>'.encode()


def send(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(h: BaseHTTPRequestHandler) -> None:
        h.send_response(status)
        for name, value in headers.items():
            h.send_header(name.replace("_", "-"), value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    return answer


class Site:
    def __init__(self, base: str):
        self.base = base
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers["If-None-Match"]))
            state.answers[self.path](self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        state = Site(f"http://127.0.0.1:{s.server_address[1]}")
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        yield state
        s.shutdown()
        thread.join()


@pytest.fixture
def local(settings: Settings) -> Settings:
    feed = settings.feed.model_copy(update={"allow_hosts": ("127.0.0.1",), "timeout_s": 3.0, "max_bytes": 100_000})
    return settings.model_copy(update={"feed": feed})


def add(db: Database, clock: FixedClock, url: str) -> int:
    with db.begin() as conn:
        return feeds.add(conn, url, clock.now())[0]


def one(db: Database, settings: Settings, clock: FixedClock, feed_id: int) -> Polled:
    (got,) = poll(db, settings, clock, [feed_id])
    return got


def test_new_then_unchanged_then_changed(db: Database, local: Settings, clock: FixedClock, site: Site) -> None:
    site.answers["/f"] = send(rss("a"), ETag='"1"')
    i = add(db, clock, site.base + "/f")
    assert one(db, local, clock, i).new == 1
    site.answers["/f"] = send(b"", 304)
    assert one(db, local, clock, i).why == "not modified (304)"
    assert site.asked == [("/f", None), ("/f", '"1"')]
    site.answers["/f"] = send(rss("b", "a"), ETag='"2"')
    assert one(db, local, clock, i).new == 1
    with db.begin() as conn:
        assert episodes.counts(conn) == {"download": 2}
        assert [p["new"] for p in polls.recent(conn, i)] == [1, 0, 1]


def test_a_server_without_conditions_costs_no_parse(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    site.answers["/f"] = send(rss("a"))
    i = add(db, clock, site.base + "/f")
    one(db, local, clock, i)
    assert one(db, local, clock, i).why == "the same bytes as before"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (send(b"<html>down for maintenance</html>"), "not a feed"),
        (send(b"", 500), "500"),
        (send(b"", 403), "403"),
        (send(b"x" * 200_000), "larger than"),
        (send(gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip"), "larger than"),
        (send(b"not gzip at all", Content_Encoding="gzip"), "could not be"),
        (send(b"", 302, Location="http://10.0.0.1/"), "refused"),
        (send(b"", 302, Location="file:///etc/passwd"), "only http"),
    ],
    ids=["html", "500", "403", "large", "bomb", "bad gzip", "private", "file"],
)
def test_one_feeds_trouble_stays_its_own(
    answer: Answer, said: str, db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    site.answers["/bad"], site.answers["/good"] = answer, send(rss("a"))
    ids = [add(db, clock, site.base + p) for p in ("/bad", "/good")]
    bad, good = poll(db, local, clock, ids)
    assert good.new == 1 and good.error is None
    assert bad.error is not None and said in bad.error
    with db.begin() as conn:
        row = feeds.find(conn, str(ids[0]))
    assert row["state"] == "active" and row["error_count"] == 1 and row["next_poll_at"] > clock.now()


def test_a_slow_server_is_cut_off(db: Database, local: Settings, clock: FixedClock, site: Site) -> None:
    ended = threading.Event()

    def drip(h: BaseHTTPRequestHandler) -> None:
        h.send_response(200)
        h.end_headers()
        try:
            while not ended.wait(0.2):
                h.wfile.write(b" ")
        except OSError:
            pass

    site.answers["/f"] = drip
    i = add(db, clock, site.base + "/f")
    try:
        got = one(db, local, clock, i)
    finally:
        ended.set()
    assert got.error is not None and "longer than 3 s" in got.error


def test_gone_is_gone_and_due_is_due(db: Database, local: Settings, clock: FixedClock, site: Site) -> None:
    site.answers["/f"] = send(b"", 410)
    i = add(db, clock, site.base + "/f")
    assert len(poll_due(db, local, clock)) == 1
    clock.at += timedelta(days=30)
    assert poll_due(db, local, clock) == []
    with db.begin() as conn:
        assert feeds.find(conn, str(i))["state"] == "gone"


def test_a_move_to_a_feed_that_is_followed_already_is_only_said(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    site.answers["/old"] = send(b"", 301, Location="/new")
    site.answers["/new"] = send(rss("a"))
    old, _ = (add(db, clock, site.base + p) for p in ("/old", "/new"))
    one(db, local, clock, old)
    clock.at += timedelta(days=8)
    one(db, local, clock, old)
    with db.begin() as conn:
        row = feeds.find(conn, str(old))
    assert row["url"].endswith("/old") and "followed already" in row["error"]
