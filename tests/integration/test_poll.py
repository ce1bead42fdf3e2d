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
from pipeline.episode import intake
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


def test_a_server_that_answers_304_for_ever_is_asked_in_full_once_a_week(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    def lies(h: BaseHTTPRequestHandler) -> None:
        (send(b"", 304) if h.headers["If-None-Match"] else send(now["body"], ETag='"same for ever"'))(h)

    now = {"body": rss("a")}
    site.answers["/f"] = lies
    i = add(db, clock, site.base + "/f")
    assert one(db, local, clock, i).new == 1
    now["body"] = rss("b", "a")
    clock.at += timedelta(days=6)
    assert one(db, local, clock, i).why == "not modified (304)"
    clock.at += timedelta(days=2)
    assert one(db, local, clock, i).new == 1
    # The other lie: 200 with an old ETag for what is new is read by its bytes, and is no news when they are the same.
    site.answers["/f"] = send(rss("c", "b", "a"), ETag='"same for ever"')
    assert [one(db, local, clock, i).why for _ in range(2)] == ["1 new, 0 changed", "the same bytes as before"]


def test_what_is_edited_is_updated_and_what_has_left_is_kept(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    site.answers["/f"] = send(rss("a", "b"))
    i = add(db, clock, site.base + "/f")
    one(db, local, clock, i)
    site.answers["/f"] = send(rss("b").replace(b"<title>b<", b"<title>b, corrected<"))
    got = one(db, local, clock, i)
    assert (got.new, got.changed) == (0, 1)
    with db.begin() as conn:
        assert sorted(str(r["title"]) for r in episodes.listed(conn)) == ["a", "b, corrected"]


def test_a_feed_moves_after_a_week_of_permanent_redirects(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    site.answers |= {"/old": send(b"", 301, Location="/new"), "/new": send(rss("a"))}
    i = add(db, clock, site.base + "/old")
    addresses = []
    for _ in range(9):
        assert one(db, local, clock, i).error is None
        with db.begin() as conn:
            addresses.append(str(feeds.find(conn, str(i))["url"])[len(site.base) :])
        clock.at += timedelta(days=1)
    assert addresses == ["/old"] * 7 + ["/new"] * 2
    with db.begin() as conn:
        assert len(episodes.listed(conn)) == 1


def test_a_feed_moves_at_once_when_its_old_address_is_gone(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    site.answers |= {"/old": send(b"", 301, Location="/new"), "/new": send(rss("a"), ETag='"n"')}
    i = add(db, clock, site.base + "/old")
    one(db, local, clock, i)
    site.answers["/old"] = send(b"", 410)
    assert "had moved before" in one(db, local, clock, i).why
    assert poll_due(db, local, clock)[0].error is None
    with db.begin() as conn:
        row = feeds.find(conn, str(i))
    assert row["url"].endswith("/new") and row["state"] == "active"


def test_an_announced_address_is_looked_at_and_taken_after_a_week(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    says = rss("a").replace(
        b"<title>Show", f"<itunes:new-feed-url>{site.base}/new</itunes:new-feed-url><title>S".encode()
    )
    site.answers |= {
        "/old": send(says.replace(b"<rss", b'<rss xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'))
    }
    site.answers["/new"] = send(b"<html>not yet</html>")
    i = add(db, clock, site.base + "/old")
    one(db, local, clock, i)
    with db.begin() as conn:
        assert feeds.find(conn, str(i))["moved_url"] is None  # there is no feed yet
    site.answers["/new"] = send(rss("a"))
    site.answers["/old"] = send(
        says.replace(b"<rss", b'<rss xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"') + b" "
    )
    one(db, local, clock, i)
    clock.at += timedelta(days=8)
    site.asked.clear()
    one(db, local, clock, i)
    with db.begin() as conn:
        assert feeds.find(conn, str(i))["url"] == site.base + "/new"
    assert [path for path, _ in site.asked] == ["/old", "/new"]


def test_a_new_feed_brings_its_archive_page_by_page_within_the_cap(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    def page(k: int) -> bytes:
        more = f'<atom:link xmlns:atom="http://www.w3.org/2005/Atom" rel="next" href="/p{k + 1}"/><title>Show'
        return rss(f"a{k}", f"b{k}").replace(b"<title>Show", more.encode())

    site.answers |= {f"/p{k}": send(page(k)) for k in range(10)}
    i = add(db, clock, site.base + "/p0")
    assert one(db, local, clock, i).new == 2 * local.feed.max_pages == 6
    site.asked.clear()
    site.answers["/p0"] = send(page(0) + b" ")
    assert one(db, local, clock, i).new == 0
    assert [path for path, _ in site.asked] == ["/p0"]  # once


def test_a_host_that_asks_for_quiet_is_left_alone_by_its_other_feeds(
    db: Database, local: Settings, clock: FixedClock, site: Site
) -> None:
    site.answers["/0"] = send(b"", 503, Retry_After="7200")
    site.answers |= {f"/{k}": send(rss("a")) for k in range(1, 8)}
    ids = [add(db, clock, f"{site.base}/{k}") for k in range(8)]
    one(db, local, clock, ids[0])
    site.asked.clear()
    held = poll(db, local, clock, ids[1:])
    assert site.asked == [] and all("asked to be left alone until" in p.why for p in held)
    with db.begin() as conn:
        rows = [feeds.find(conn, str(i)) for i in ids]
        assert all(r["next_poll_at"] >= clock.now() + timedelta(hours=2) for r in rows)
        assert all(r["error_count"] == 0 for r in rows[1:])
    clock.at += timedelta(hours=3)
    site.answers["/0"] = send(rss("a"))
    assert sum(p.new for p in poll_due(db, local, clock)) == 8


def test_a_document_that_takes_too_much_is_not_read_a_second_time(
    db: Database, local: Settings, clock: FixedClock, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.feed.pool.ParserPool.__init__.__kwdefaults__", {"cpu_s": 0.2, "most_memory": 1 << 30})
    monkeypatch.setattr("pipeline.feed.pool.CPU_S_A_MB", 0.0)
    monkeypatch.setattr("pipeline.feed.pool.WALL", 300.0)
    local = local.model_copy(update={"feed": local.feed.model_copy(update={"max_bytes": 1_000_000})})
    site.answers |= {"/bad": send(b"<rss version='2.0'><channel>" + b"<a " * 300_000), "/good": send(rss("a"))}
    ids = [add(db, clock, site.base + p) for p in ("/bad", "/good")]
    bad, good = poll(db, local, clock, ids)
    assert good.new == 1 and bad.error is not None and "cannot be read" in bad.error
    clock.at += timedelta(days=1)
    again = one(db, local, clock, ids[0])
    assert again.error is not None and "took too much the last time" in again.error


def test_what_the_database_does_not_take_costs_its_feed_only(
    db: Database, local: Settings, clock: FixedClock, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answers |= {f"/{k}": send(rss(f"e{k}")) for k in range(5)}
    ids = [add(db, clock, f"{site.base}/{k}") for k in range(5)]
    plain = intake.take_in

    def picky(conn: Any, feed_id: int, *args: Any) -> tuple[int, int]:
        if feed_id == ids[2]:
            plain(conn, feed_id, *args)
            raise ValueError("cannot be stored")
        return plain(conn, feed_id, *args)

    monkeypatch.setattr("pipeline.feed.keep.take_in", picky)
    found = poll(db, local, clock, ids)
    assert [p.new for p in found] == [1, 1, 0, 1, 1]
    assert found[2].error is not None and "cannot be stored" in found[2].error
    with db.begin() as conn:
        assert len(episodes.listed(conn)) == 4
        assert "cannot be stored" in polls.recent(conn, ids[2])[0]["why"]


def test_every_poll_leaves_a_row(db: Database, local: Settings, clock: FixedClock, site: Site) -> None:
    body = rss("a")
    site.answers |= {"/a": send(gzip.compress(body), Content_Encoding="gzip"), "/b": send(b"", 500)}
    ids = [add(db, clock, site.base + p) for p in ("/a", "/b")]
    poll(db, local, clock, ids)
    with db.begin() as conn:
        (row,), (bad,) = polls.recent(conn, ids[0]), polls.recent(conn, ids[1])
    assert (row["status"], row["bytes"], row["new"], row["changed"], row["why"]) == (200, len(body), 1, 0, "read")
    assert row["seconds"] > 0 and row["at"] == clock.now()
    assert (bad["status"], bad["new"], bad["why"]) == (500, 0, "the server answered 500")


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
