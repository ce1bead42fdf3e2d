"""From a pasted address to a feed: the feed, a page that names it, Apple's look-up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from pipeline.errors import FetchError, GoneError, ParseError, PermanentError, PodsiftError, RefusedError
from pipeline.feed.discover import Document, apple_feed, apple_id, discover, feed_links, fetcher
from pipeline.feed.private import Access
from pipeline.settings import FeedSettings, Settings
from tests.fakes.http_server import redirect, send, serve

ITEM = '<item><title>One</title><enclosure url="a.mp3" type="audio/mpeg"/></item>'
FEED = f'<rss version="2.0"><channel><title>Show</title>{ITEM}</channel></rss>'.encode()
BLOG = b'<rss version="2.0"><channel><title>Comments</title><item><title>c</title></item></channel></rss>'
LINK = '<link rel="alternate" type="application/rss+xml" href="{}">'


def web(**pages: bytes) -> Callable[[str], Document]:
    def fetch(url: str) -> Document:
        name = url.rpartition("/")[2]
        if name not in pages:
            raise GoneError(f"{url} is not there")
        return Document(pages[name], None, url)

    return fetch


def test_a_feed_is_itself() -> None:
    found = discover("https://e.org/feed", web(feed=FEED))
    assert (found.url, found.feed.title, found.others) == ("https://e.org/feed", "Show", ())


def test_a_page_names_its_feed_and_the_one_with_audio_is_taken() -> None:
    page = "<html><head>" + LINK.format("/comments") + LINK.format("gone") + LINK.format("blog") + LINK.format("feed")
    found = discover("https://e.org/p/show", web(show=page.encode(), comments=BLOG, blog=BLOG, feed=FEED))
    assert found.url == "https://e.org/p/feed" and found.others == ("https://e.org/comments",)


def test_a_page_without_a_feed_says_what_to_do() -> None:
    with pytest.raises(ParseError) as e:
        discover("https://e.org/show", web(show=b"<html><link rel=stylesheet href=feed></html>"))
    assert "neither a feed nor a page" in str(e.value) and e.value.hint
    with pytest.raises(ParseError, match="none of them has audio"):
        discover("https://e.org/show", web(show=LINK.format("blog").encode(), blog=BLOG))


def test_links_of_pages_as_they_are() -> None:
    page = b"""<BASE HREF="/x/"><LINK TYPE='application/rss+xml' REL=Alternate HREF=a?b=1&amp;c=2>
    <link href="feed://f.example.net/f" rel="alternate" type="application/atom+xml; charset=utf-8"/>
    <a rel="alternate" type="application/rss+xml" href="a?b=1&c=2">again</a>
    <link rel="alternate" type="application/rss+xml" href="javascript:alert(1)">
    <link rel="alternate" type="application/rss+xml" href="http://[broken">
    <link rel="alternate" type="text/html" href="/de"><link rel="alternate" type="application/rss+xml">"""
    assert feed_links(page, "https://e.org/p") == ["https://e.org/x/a?b=1&c=2", "http://f.example.net/f"]


@pytest.mark.parametrize(
    "page",
    [b"<link " * 200_000, b'<link a="' * 100_000, b"<a " + b" " * 900_000, (b"<link " + b"a= '" * 900 + b">") * 300],
)
def test_hostile_pages_are_fast(page: bytes) -> None:
    began = time.process_time()
    assert feed_links(page, "https://e.org/") == []
    assert time.process_time() - began < 1  # 0.02 s here


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://podcasts.apple.com/us/podcast/slow-software/id1234567890", "1234567890"),
        ("https://podcasts.apple.com/de/podcast/x/id99?i=1000", "99"),
        ("https://itunes.apple.com/podcast/id99/", "99"),
        ("https://podcasts.apple.com.evil.example/podcast/id99", None),
        ("https://podcasts.apple.com/us/browse", None),
        ("ftp://podcasts.apple.com/id99", None),
        ("http://[::1/id99", None),
    ],
)
def test_apple_links(url: str, found: str | None) -> None:
    assert apple_id(url) == found


def test_apple_is_asked_by_id() -> None:
    answer = json.dumps({"resultCount": 1, "results": [{"kind": "podcast", "feedUrl": "https://e.org/feed"}]}).encode()
    asked: list[str] = []

    def fetch(url: str) -> Document:
        asked.append(url)
        return Document(FEED if url == "https://e.org/feed" else answer, None, url)

    found = discover(
        "https://podcasts.apple.com/us/podcast/x/id42?i=7", fetch, apple_lookup="https://look.example/?id="
    )
    assert (found.url, asked) == ("https://e.org/feed", ["https://look.example/?id=42", "https://e.org/feed"])


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"results": 5}', b'{"results": []}', b'{"results": [{"feedUrl": null}]}', b"[" * 100_000,
     b'{"results": [{"feedUrl": "file:///etc/passwd"}]}'],
)  # fmt: skip
def test_apples_answer_is_hostile_too(body: bytes) -> None:
    with pytest.raises((ParseError, RefusedError)):
        apple_feed(body)


def local(settings: Settings, host: str) -> FeedSettings:
    return settings.feed.model_copy(update={"allow_hosts": (host,), "max_bytes": 20_000, "timeout_s": 5.0})


def test_fetching_for_discovery_is_guarded_and_bounded(settings: Settings) -> None:
    with serve() as site:
        site.answers |= {
            "/feed": send(FEED),
            "/big": send(b"x" * 30_000),
            "/away": redirect("http://192.168.0.1/"),
            "/closed": send(status=401),
            "/broken": send(status=500),
        }
        fetch = fetcher(local(settings, site.host))
        assert fetch(site.base + "/feed").body == FEED
        for path, error, said in (
            ("/big", RefusedError, "larger"),
            ("/away", RefusedError, "refused"),
            ("/closed", PermanentError, "401"),
            ("/broken", FetchError, "500"),
        ):
            with pytest.raises(error, match=said):
                fetch(site.base + path)
        with pytest.raises(PodsiftError) as e:
            fetch(site.base + "/closed")
        assert "--user" in (e.value.hint or "")


def test_credentials_go_to_the_address_they_were_given_for(settings: Settings) -> None:
    with serve() as site, serve() as other:
        site.answers["/f"] = redirect(other.base + "/g")
        other.answers["/g"] = send(FEED)
        allowed = local(settings, site.host).model_copy(update={"allow_hosts": (site.host, other.host)})
        fetch = fetcher(allowed, Access(site.base + "/f", ("ada", "hunter2")))
        fetch(site.base + "/f")
        fetch(other.base + "/g")
        assert site.asked[0][1]["Authorization"] == "Basic YWRhOmh1bnRlcjI="
        assert [h["Authorization"] for _, h in other.asked] == [None, None]
