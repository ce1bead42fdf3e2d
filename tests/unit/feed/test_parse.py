"""The podcast namespace, live items, and what is no feed."""

import feedparser
import pytest

from pipeline.errors import ParseError
from pipeline.feed.parse import parse

ITEM = """<item><title>One</title><guid>g1</guid><enclosure url="a.mp3" type="audio/mpeg" length="5"/>
<{p}:transcript url="t.vtt" type="text/vtt"/><{p}:transcript url="t.srt" type="application/srt" language="de"/>
<{p}:person role="host">Ada</{p}:person><{p}:person role="guest">Bob</{p}:person></item>"""
LIVE = """<{p}:liveItem status="live"><title>LIVE</title><guid>live</guid>
<enclosure url="live.mp3" type="audio/mpeg"/></{p}:liveItem>"""


def rss(prefix: str, tail: str) -> bytes:
    body = (LIVE + ITEM).format(p=prefix)
    uri = "https://podcastindex.org/namespace/1.0"
    return f'<rss version="2.0" xmlns:{prefix}="{uri}"><channel><title>Show</title>{body}{tail}'.encode()


@pytest.mark.parametrize("prefix", ["podcast", "pc"])
@pytest.mark.parametrize("tail", ["</channel></rss>", "<broken></channel>"], ids=["strict", "loose"])
def test_every_transcript_and_person_and_no_live_item(prefix: str, tail: str) -> None:
    feed = parse(rss(prefix, tail), "https://example.org/f/feed.xml")
    assert feed.title == "Show"
    (e,) = feed.episodes
    assert [t.url for t in e.transcripts] == ["https://example.org/f/t.vtt", "https://example.org/f/t.srt"]
    assert [(p.name, p.role) for p in e.persons] == [("Ada", "host"), ("Bob", "guest")]
    assert e.enclosure_url == "https://example.org/f/a.mp3"


def test_the_private_api_is_still_as_we_found_it() -> None:
    assert feedparser.__version__ == "6.0.14"


@pytest.mark.parametrize("body", [b"", b"<html><body>404</body></html>", b"{}", b"\x00\xff\xfe", b"/etc/passwd"])
def test_what_is_no_feed_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        parse(body, "https://example.org/")


def test_a_file_name_is_not_opened() -> None:
    with pytest.raises(ParseError):
        parse(__file__.encode(), "https://example.org/")
