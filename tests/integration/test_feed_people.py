"""Feeds as people have them, through the command line and a real server: rules, tags, lists, private feeds."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.clock import FixedClock, SystemClock
from pipeline.engine.step import step
from pipeline.errors import PodsiftError, WaitingError
from pipeline.settings import load
from pipeline.stages import Workshop, chapters_of, download_audio
from pipeline.store.database import open_database
from tests.conftest import NOW
from tests.fakes.http_server import Site, redirect, send, serve

Call = Callable[..., tuple[int, str, str]]
DAYS = ("19 Nov", "18 Nov", "17 Nov", "16 Oct", "15 Oct", "14 Sep")
PASSWORD = "correct horse battery"
TOKEN = "s3cr3t-t0ken-value"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture
def call(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SystemClock, "now", lambda _self: NOW)
    monkeypatch.setenv("PODSIFT_FEED_ALLOW_HOSTS", site.host)
    monkeypatch.setenv("PODSIFT_SECRET_KEY", "k1:" + "x" * 40)

    def invoke(*argv: str) -> tuple[int, str, str]:
        code = run(list(argv))
        out = capsys.readouterr()
        return code, out.out, out.err

    return invoke


def rss(
    title: str = "Slow Software", head: str = "", base: str = "https://media.example.org", guid: str = "g"
) -> bytes:
    items = "".join(
        f"<item><title>Part {k}: a long look at something</title><guid>{guid}{k}</guid>"
        f"<pubDate>{day} 2026 08:00:00 GMT</pubDate><itunes:duration>{3600 + k}</itunes:duration>"
        f'<enclosure url="{base}/{k}.mp3" type="audio/mpeg" length="1"/></item>'
        for k, day in enumerate(DAYS)
    )
    names = 'xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:podcast="https://podcastindex.org/namespace/1.0"'
    return f'<rss version="2.0" {names}><channel><title>{title}</title>{head}{items}</channel></rss>'.encode()


def asks(user: str, password: str, body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    import base64

    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def answer(h: BaseHTTPRequestHandler) -> None:
        (send(body) if h.headers["Authorization"] == wanted else send(status=401))(h)

    return answer


def said_by(call: Call, *argv: str) -> str:
    _, out, err = call(*argv)
    return out + err


def dumped(folder: Path) -> str:
    """Everything that the database holds."""
    with closing(sqlite3.connect(folder / "podsift-data" / "podsift.db")) as conn:
        return "\n".join(conn.iterdump())


def listed(call: Call, *more: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(call("feed", "list", "--json", *more)[1])
    return found


def stages(call: Call) -> dict[str, tuple[str, str | None, bool]]:
    rows = json.loads(call("episode", "list", "--json")[1])
    return {r["title"][5]: (r["stage"], r["error"], r["backfill"]) for r in rows}


def test_what_it_would_process_is_shown_first(call: Call, site: Site) -> None:
    site.answers["/f"] = send(rss())
    code, out, _ = call("feed", "add", site.base + "/f", "--backfill", "last:5", "--exclude", "/part 1/", "--dry-run")
    assert code == 0 and listed(call) == []
    assert "Slow Software: 6 episodes" in out and "would process now: 2, about 2.0 hours" in out
    assert "of its past: 3, about 3.0 hours" in out and "not now: 1, its title matches the exclude rule" in out
    code, out, _ = call("feed", "add", site.base + "/f", "--yes", "--backfill", "last:4", "--exclude", "/part 1/")
    assert code == 0 and "feed 1: Slow Software: 6 new, 0 changed" in out
    found = stages(call)
    assert {k: (s, b) for k, (s, _, b) in found.items()} == {
        "0": ("download", False),
        "1": ("skipped", False),
        "2": ("download", False),
        "3": ("download", True),
        "4": ("download", True),
        "5": ("skipped", False),
    }
    assert "older than 7 days" in (found["5"][1] or "") and "exclude rule" in (found["1"][1] or "")


def test_rules_of_a_feed_that_is_followed(call: Call, site: Site) -> None:
    site.answers["/f"] = send(rss())
    assert call("feed", "add", site.base + "/f")[0] == 0
    assert call("feed", "set", "1")[1].strip() == "feed 1: no rules: everything new is processed"
    code, out, _ = call(
        "feed", "set", "1", "--backfill", "since:2026-10-01", "--max-minutes", "90", "--include", "part"
    )
    assert code == 0 and "takes in 2 episodes of its past, about 2.0 hours" in out
    assert "include 'part', at most 90 min, backfill since:2026-10-01" in out
    assert {k: s for k, (s, _, b) in stages(call).items() if b} == {"3": "download", "4": "download"}
    out = call("feed", "set", "1", "--include", "", "--max-minutes", "0", "--backfill", "none")[1]
    assert "no rules" in out
    for bad in (("--include", "/(/"), ("--backfill", "all"), ("--min-minutes", "-3")):
        assert call("feed", "set", "1", *bad)[0] == 2


def test_tags(call: Call, site: Site) -> None:
    site.answers["/f"] = send(rss())
    call("feed", "add", site.base + "/f", "--tag", "Tech", "--tag", "tech")
    assert call("feed", "tag", "add", "1", "Work  Week", "a,b")[1].strip() == "feed 1: a b, tech, work week"
    assert [r["tags"] for r in listed(call, "--tag", "TECH")] == [["a b", "tech", "work week"]]
    assert call("feed", "tag", "remove", "1", "tech", "never")[1].strip() == "feed 1: a b, work week"
    assert listed(call, "--tag", "tech") == []


def test_a_page_and_an_apple_link_lead_to_the_feed(call: Call, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers["/f"] = send(rss())
    site.answers["/show"] = send(b'<link rel="alternate" type="application/rss+xml" href="/f">')
    code, out, _ = call("feed", "add", site.base + "/show")
    assert code == 0 and f"found the feed {site.base}/f" in out
    site.answers["/lookup?id=42"] = send(json.dumps({"results": [{"feedUrl": site.base + "/f"}]}).encode())
    monkeypatch.setattr("pipeline.feed.discover.discover.__kwdefaults__", {"apple_lookup": site.base + "/lookup?id="})
    out = call("feed", "add", "https://podcasts.apple.com/de/podcast/x/id42")[1]
    assert f"{site.base}/f is followed already (feed 1)" in out
    site.answers["/none"] = send(b"<html>nothing here</html>")
    code, _, err = call("feed", "add", site.base + "/none")
    assert code == 1 and "neither a feed nor a page" in err and "try:" in err
    assert call("feed", "add", site.base + "/none", site.base + "/f")[0] == 5


def test_opml_out_and_in(call: Call, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers |= {"/f": send(rss()), "/g": send(rss("Other"))}
    call("feed", "add", site.base + "/f", "--tag", "tech")
    call("feed", "add", site.base + "/g")
    assert call("feed", "export", "--output", "out.opml")[0] == 0
    assert call("feed", "export", "--output", "out.opml")[0] == 2
    assert 'xmlUrl="' + site.base + '/f"' in call("feed", "export")[1]
    assert call("feed", "import", "out.opml")[1].splitlines()[-1].startswith("0 added, 2 known, 0 repeated, 0 refused")
    (tmp_path / "in.opml").write_text(
        f"""<opml><body><outline text="News">
        <outline text="One" xmlUrl="https://one.example.org/feed"/>
        <outline text="Again" xmlUrl="http://ONE.example.org/feed/"/>
        <outline text="Known" xmlUrl="{site.base}/f"/><outline text="Odd" xmlUrl="ftp://odd.example.org/"/>
        <outline text="Closed" xmlUrl="https://ada:{PASSWORD.replace(" ", "+")}@two.example.org/feed"/>
        </outline></body></opml>"""
    )
    code, out, _ = call("feed", "import", "in.opml", "--dry-run", "--json")
    told = json.loads(out)
    assert code == 5 and told["dry_run"] and len(listed(call)) == 2
    assert {k: len(v) for k, v in told.items() if k != "dry_run"} == {
        "added": 2, "known": 1, "repeated": 1, "refused": 1,
    }  # fmt: skip
    assert PASSWORD.replace(" ", "+") not in out
    code, out, err = call("feed", "import", "in.opml")
    assert code == 5 and "2 added" in out and "ftp://odd.example.org/" in err
    rows = {r["title"]: r for r in listed(call)}
    assert rows["One"]["tags"] == ["news"] and rows["Slow Software"]["tags"] == ["news", "tech"]
    assert rows["Closed"]["url"] == "https://two.example.org/feed" and rows["Closed"]["private"] is True
    monkeypatch.delenv("PODSIFT_SECRET_KEY")
    (tmp_path / "private.opml").write_text('<opml><outline xmlUrl="https://u:p@three.example.org/"/></opml>')
    code, _, err = call("feed", "import", "private.opml")
    assert code == 1 and "secret_key" in err
    (tmp_path / "bad.opml").write_text("<rss/>")
    assert call("feed", "import", "bad.opml")[0] == 1


def test_a_feed_behind_a_password(
    call: Call, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    site.answers["/f"] = asks("ada", PASSWORD, rss(base=site.base))
    code, _, err = call("feed", "add", site.base + "/f")
    assert code == 1 and "401" in err and "--user" in err
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    code, out, err = call("feed", "add", site.base + "/f", "--user", "ada", "--password-stdin")
    assert code == 0 and "6 new" in out, err
    shown = json.loads(call("feed", "show", "1", "--json")[1])
    assert shown["private"] is True and "credentials" not in shown
    with serve() as elsewhere:
        # What redirects away takes the login along to nobody.
        monkeypatch.setenv("PODSIFT_FEED_ALLOW_HOSTS", f"{site.host},{elsewhere.host}")
        site.answers["/f"] = redirect(elsewhere.base + "/g")
        elsewhere.answers["/g"] = send(rss())
        call("feed", "refresh", "1")
        assert [h["Authorization"] for _, h in elsewhere.asked] == [None]
    site.answers["/f"] = send(status=500)
    assert call("feed", "refresh", "1")[0] == 1
    everything = "".join(said_by(call, *argv) for argv in (
        ("feed", "list", "--json"), ("feed", "show", "1"), ("feed", "log", "1", "--json"), ("episode", "show", "1"),
        ("feed", "export"), ("job", "list", "--json"),
    ))  # fmt: skip
    for place in (everything, dumped(tmp_path), caplog.text):
        assert PASSWORD not in place


def test_an_address_that_is_the_key(
    call: Call, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = f"/rss?format=mp3&auth={TOKEN}"
    site.answers[path] = send(rss(base=site.base, head="<itunes:new-feed-url>https://e.org/</itunes:new-feed-url>"))
    code, out, _ = call("feed", "add", site.base + path, "--yes")
    assert code == 0 and "6 new" in out
    assert "followed already (feed 1)" in call("feed", "add", site.base + path)[1]
    (row,) = listed(call)
    assert str(row["url"]).startswith(f"{site.base}/rss?format=mp3&auth=private-") and row["private"] is True
    assert row["new_feed_url"] is None
    assert call("feed", "refresh", "1")[0] == 0
    assert {p for p, _ in site.asked} == {path}
    site.answers[path] = redirect(f"/v2?auth={TOKEN}", 301)
    site.answers[f"/v2?auth={TOKEN}"] = send(status=503)
    said = said_by(call, "feed", "refresh", "1")
    secret = f"/member/{TOKEN}/feed"
    site.answers[secret] = send(b"broken")
    said += said_by(call, "feed", "add", site.base + secret, "--private")
    site.answers[secret] = send(rss("Hidden", guid="h"))
    code, out, _ = call("feed", "add", site.base + secret, "--private", "--yes")
    assert code == 0 and "Hidden" in out
    said += out + "".join(said_by(call, *argv) for argv in (
        ("feed", "list", "--json"), ("feed", "show", "1"), ("feed", "log", "1", "--json"), ("episode", "show", "1"),
        ("feed", "export"), ("job", "list", "--json"),
    ))  # fmt: skip
    assert "left out: feed 1" in said
    for place in (said, dumped(tmp_path), caplog.text):
        assert TOKEN not in place
    monkeypatch.delenv("PODSIFT_SECRET_KEY")
    call("feed", "refresh", "1")
    assert "No secret_key is set" in str({r["id"]: r for r in listed(call)}[1]["error"])
    monkeypatch.setenv("PODSIFT_SECRET_KEY", "k2:" + "y" * 40 + ",k1:" + "x" * 40)
    assert call("feed", "rekey")[1].startswith("sealed 2 of 2 private feeds again")
    monkeypatch.setenv("PODSIFT_SECRET_KEY", "k2:" + "y" * 40)
    site.answers[path] = send(rss())
    assert call("feed", "refresh", "1")[0] == 0


def test_a_private_feed_needs_a_key(call: Call, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODSIFT_SECRET_KEY")
    code, _, err = call("feed", "add", f"{site.base}/f?token={TOKEN}")
    assert code == 4 and "podsift init" in err and TOKEN not in err and site.asked == []


def test_two_feeds_of_one_show(call: Call, site: Site) -> None:
    site.answers |= {"/f": send(rss()), "/premium": send(rss(guid="p")), "/g": send(rss("Other", guid="o"))}
    call("feed", "add", site.base + "/f")
    out = call("feed", "add", site.base + "/premium")[1]
    assert "would process now: 0" in out and "not now: 3, repeats an episode that is processed" in out
    assert "the same show as feed 1" in out
    assert [r["twin_of"] for r in listed(call)] == [None, 1]
    rows = json.loads(call("episode", "list", "--json")[1])
    linked = {r["same_as"]: r for r in rows if r["same_as"]}
    assert set(linked) == {1, 2, 3} and {r["stage"] for r in linked.values()} == {"skipped"}
    assert linked[1]["error"] == "repeats episode 1 of feed 1, which is processed or on its way"


def workshop(call: Call, tmp_path: Path, **environ: str) -> Workshop:
    call("feed", "list")
    (tmp_path / "t.toml").write_text("")
    settings = load(
        environ={
            "PODSIFT_CONFIG": str(tmp_path / "t.toml"),
            "PODSIFT_DATA_DIR": str(tmp_path / "podsift-data"),
            "PODSIFT_SECRET_KEY": "k1:" + "x" * 40,
        }
        | environ
    )
    return Workshop(settings, open_database(settings), FixedClock(NOW))


def test_audio_and_chapters_of_a_private_feed(call: Call, site: Site, tmp_path: Path) -> None:
    body = rss(base=site.base, head="").replace(
        b"</item>",
        f'<podcast:chapters url="{site.base}/c.json?k={TOKEN}"/><podcast:person>Ada</podcast:person>'
        f'<podcast:soundbite startTime="5" duration="30">Best</podcast:soundbite></item>'.encode(),
        1,
    )
    chapters = json.dumps({"chapters": [{"startTime": 61, "title": "Middle"}]}).encode()
    site.answers |= {
        "/f": asks("ada", PASSWORD, body),
        f"/c.json?k={TOKEN}": asks("ada", PASSWORD, chapters),
        "/0.mp3": asks("ada", PASSWORD, b"not audio at all" * 1000),
    }
    login = f"{site.base.replace('://', '://ada:' + PASSWORD.replace(' ', '%20') + '@')}/f"
    assert call("feed", "add", login)[0] == 0
    shop = workshop(call, tmp_path, PODSIFT_FEED_ALLOW_HOSTS=site.host)
    try:
        row = shop.row(1)
        found = chapters_of(shop, row, shop.credentials(row))
        assert found == {"chapters": [{"start": 61.0, "title": "Middle", "url": None, "image_url": None}]}
        assert chapters_of(shop, row, None) == {}
        with pytest.raises(PodsiftError) as e:
            download_audio(shop, 1)
        assert "401" not in str(e.value) and PASSWORD not in str(e.value)  # it came, and is no audio
        with shop.db.begin() as conn:
            from pipeline.store import episodes

            episodes.note(conn, 1, found)
    finally:
        shop.db.close()
    shown = call("episode", "show", "1")[1]
    assert "1:01 Middle" in shown and "Ada" in shown and "0:05 Best (30 s)" in shown and TOKEN not in shown


def test_the_budget_holds_an_episode_back_and_says_why(call: Call, site: Site, tmp_path: Path) -> None:
    site.answers["/f"] = send(rss(base=site.base))
    for k in range(3):
        site.answers[f"/{k}.mp3"] = send(b"no audio" * 1000)
    call("feed", "add", site.base + "/f")
    shop = workshop(call, tmp_path, PODSIFT_FEED_ALLOW_HOSTS=site.host, PODSIFT_AUDIO_DAILY_HOURS="2.5")
    try:
        for i in (1, 2):
            with pytest.raises(PodsiftError) as e:
                download_audio(shop, i)
            assert not isinstance(e.value, WaitingError)
        with pytest.raises(WaitingError, match=r"daily budget of 2.5 audio hours: 2.0 h were taken up") as late:
            download_audio(shop, 3)
        assert late.value.retry_after_s == 3600
        assert step(shop.db, shop.clock, shop.stages()[0], 3) == "waits"
        (row,) = [r for r in json.loads(call("job", "list", "--json")[1]) if r["id"] == 3]
        assert row["attempts"] == 0 and row["error"].startswith("download: the daily budget of 2.5 audio hours")
        shop.clock.at = NOW.replace(day=21, hour=9)  # type: ignore[attr-defined]
        with pytest.raises(PodsiftError) as e:
            download_audio(shop, 3)
        assert not isinstance(e.value, WaitingError)
    finally:
        shop.db.close()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_asked(call: Call, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers["/f"] = send(rss())
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    code, out, _ = call("feed", "add", site.base + "/f")
    assert code == 0 and "about 3.0 hours" in out and "Follow it?" in out and listed(call) == []
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "6 new" in call("feed", "add", site.base + "/f")[1]
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert call("feed", "set", "1", "--backfill", "last:9")[0] == 1
    assert not [k for k, (_, _, backfill) in stages(call).items() if backfill]


def test_what_people_see_of_a_feed(call: Call, site: Site) -> None:
    site.answers |= {
        "/f": send(rss()),
        "/old": send(rss().replace(b"2026", b"2020")),
        "/none": send(b"<rss version='2.0'>"),
    }
    call("feed", "add", site.base + "/f", "--tag", "tech", "--exclude", "trailer")
    out = call("feed", "add", site.base + "/old", "--dry-run")[1]
    assert "would process now: 0" in out and "--backfill last:3 takes in" in out
    assert "no episodes with audio; what comes later" in call("feed", "add", site.base + "/none", "--dry-run")[1]
    site.answers["/f"] = send(status=500)
    assert call("feed", "refresh", "1")[0] == 1
    shown = call("feed", "show", "1")[1]
    assert shown.splitlines()[0] == "Slow Software (feed 1, active)"
    for line in (
        "rules     exclude 'trailer'",
        "tags      tech",
        "episodes  6, 3 download, 3 skipped",
        "in a row, last good",
    ):
        assert line in shown
    assert "200  read: 6 new" in shown and "500  the server answered 500" in shown and "sha256" not in shown
    table = call("feed", "list")[1]
    assert "tech" in table and "twin" not in table and "now" in table
    assert (
        "show" not in call("feed", "log", "1")[1].splitlines()[0] and "show" in call("feed", "log")[1].splitlines()[0]
    )
    site.answers["/busy"] = send(status=503, Retry_After="3600")
    assert "asks to wait 60 minutes" in call("feed", "add", site.base + "/busy")[2]
