"""The podcast namespace, live items, and what is no feed."""

import feedparser
import pytest
from feedparser import api, mixin
from hypothesis import given, settings
from hypothesis import strategies as st

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
    for parser in (api.StrictFeedParser, api.LooseFeedParser):
        assert issubclass(parser, mixin._FeedParserMixin)
        for name in ("_start_item", "_end_item", "_get_context", "push", "pop"):
            assert callable(getattr(parser, name))
    assert isinstance(mixin._FeedParserMixin.namespaces, dict)
    assert isinstance(mixin._FeedParserMixin._matchnamespaces, dict)


@pytest.mark.parametrize("body", [b"", b"<html><body>404</body></html>", b"{}", b"\x00\xff\xfe", b"/etc/passwd"])
def test_what_is_no_feed_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        parse(body, "https://example.org/")


def test_a_file_name_is_not_opened() -> None:
    with pytest.raises(ParseError):
        parse(__file__.encode(), "https://example.org/")


ONE = '<item><title>One</title><guid>g1</guid><enclosure url="a.mp3" type="audio/mpeg"/></item>'


@pytest.mark.parametrize(
    "body",
    [
        "</podcast:liveItem>" + ONE,
        ONE + "</podcast:liveItem>",
        LIVE.format(p="podcast").removesuffix("</podcast:liveItem>") + ONE,
        LIVE.format(p="podcast") + "</podcast:liveItem>" + ONE,
    ],
    ids=["end first", "end last", "no end", "two ends"],
)
def test_live_items_that_are_broken_cost_no_episode(body: str) -> None:
    uri = "https://podcastindex.org/namespace/1.0"
    feed = parse(
        f'<rss version="2.0" xmlns:podcast="{uri}"><channel><title>Show</title>{body}</channel></rss>'.encode(),
        "https://example.org/",
    )
    assert [e.title for e in feed.episodes] == ["One"]


@pytest.mark.parametrize("reference", ["&#0;", "&#xD800;", "&#x110000;", "&#99999999999;", "&#8;"])
@pytest.mark.parametrize("tail", ["</channel></rss>", "<broken></channel>"], ids=["strict", "loose"])
def test_forbidden_references_do_not_end_the_feed(reference: str, tail: str) -> None:
    item = ONE.replace("One", f"O{reference}ne")
    (e,) = parse(f'<rss version="2.0"><channel>{item}{tail}'.encode(), "https://example.org/").episodes
    assert e.title == "O\ufffdne"


def test_no_nul_comes_through() -> None:
    item = ONE.replace("One", "O\0ne").replace("a.mp3", "a\0.mp3")
    body = f'<rss version="2.0"><channel>{item}</channel></rss>'
    (e,) = parse(body.encode(), "https://example.org/").episodes
    assert (e.title, e.enclosure_url) == ("One", "https://example.org/a.mp3")


def test_chapters_of_podlove() -> None:
    psc = (
        '<psc:chapters xmlns:psc="http://podlove.org/simple-chapters" version="1.2">'
        '<psc:chapter start="00:00:00" title="Begin"/><psc:chapter start="01:02:03.5" title="End"/></psc:chapters>'
    )
    body = f'<rss version="2.0"><channel>{ONE.replace("</item>", psc + "</item>")}</channel></rss>'
    (e,) = parse(body.encode(), "https://example.org/").episodes
    assert [(c.start, c.title) for c in e.chapters] == [(0.0, "Begin"), (3723.5, "End")]


def test_relative_addresses_are_resolved_and_absolute_ones_untouched() -> None:
    urls = ["a.mp3", "/a.mp3", "../a.mp3", "//cdn.example.net/a.mp3", "https://t.example.net/x/../a.mp3?b=1&amp;c=2"]
    items = "".join(ONE.replace("a.mp3", u).replace("g1", u) for u in urls)
    feed = parse(f'<rss version="2.0"><channel>{items}</channel></rss>'.encode(), "https://e.example.org/s/f.xml")
    assert [e.enclosure_url for e in feed.episodes] == [
        "https://e.example.org/s/a.mp3",
        "https://e.example.org/a.mp3",
        "https://e.example.org/a.mp3",
        "https://cdn.example.net/a.mp3",
        "https://t.example.net/x/../a.mp3?b=1&c=2",
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_feed_is_read_or_refused(data: st.DataObject) -> None:
    whole = rss("podcast", "</channel></rss>")
    at = data.draw(st.integers(0, len(whole)))
    damaged = whole[:at] + data.draw(st.binary(max_size=12)) + whole[at + data.draw(st.integers(0, 40)) :]
    try:
        parsed = parse(damaged, "https://example.org/")
    except ParseError:
        return
    assert all(e.enclosure_url and "\0" not in (e.title or "") for e in parsed.episodes)


@pytest.mark.parametrize("tail", ["</channel></rss>", "<broken></channel>"], ids=["strict", "loose"])
@pytest.mark.parametrize(
    "bad",
    [
        '<psc:chapter start="1" title="outside"/>',
        '<psc:chapters version="1.2"><psc:chapter title="without a start"/></psc:chapters>',
        '<psc:chapters version="1.2"><psc:chapter start=":10" title="x"/></psc:chapters>',
        '<psc:chapters version="9"><psc:chapter start="1" title="x"/></psc:chapters>',
        '<georss:point>x</georss:point><georss:line>1</georss:line><georss:box srsdimension="x">1 2</georss:box>',
        "<media:thumbnail/><media:rating>x</media:rating><media:restriction/><itunes:explicit/><ttl>x</ttl>",
        '<geo:lat>x</geo:lat><gml:Point srsName="a:b"><gml:pos>1 x</gml:pos></gml:Point>',
    ],
)
def test_a_bad_element_costs_no_feed(bad: str, tail: str) -> None:
    """What a coverage-guided fuzzer found, and its relatives."""
    names = "".join(
        f' xmlns:{prefix}="{uri}"'
        for prefix, uri in {
            "psc": "http://podlove.org/simple-chapters",
            "georss": "http://www.georss.org/georss",
            "geo": "http://www.w3.org/2003/01/geo/wgs84_pos#",
            "gml": "http://www.opengis.net/gml",
            "media": "http://search.yahoo.com/mrss/",
            "itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
        }.items()
    )
    items = "".join(
        f'<item><guid>{k}</guid>{bad if k == 1 else ""}<enclosure url="http://e.org/{k}.mp3" type="audio/mpeg"/></item>'
        for k in range(3)
    )
    found = parse(f'<rss version="2.0"{names}><channel><title>T</title>{items}{tail}'.encode(), "https://e.org/")
    assert found.title == "T" and [e.guid for e in found.episodes] == ["0", "1", "2"]


GREETING = '<rss version="2.0"><channel><title>Grüße für 5 €</title></channel></rss>'


@pytest.mark.parametrize("declared", ["windows-1252", "ISO-8859-1", "us-ascii"])
@pytest.mark.parametrize("sent", [None, "text/xml; charset=iso-8859-1", "application/rss+xml;charset='latin1'"])
def test_utf_8_under_another_name_is_read_as_what_it_is(declared: str, sent: str | None) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?>{GREETING}'
    assert parse(text.encode(), "https://example.org/", sent).title == "Grüße für 5 €"


def test_a_one_byte_encoding_that_is_meant_is_believed() -> None:
    text = '<?xml version="1.0" encoding="windows-1252"?>' + GREETING
    assert parse(text.encode("cp1252"), "https://example.org/").title == "Grüße für 5 €"
    named = '<rss version="2.0"><channel><title>Grüße</title></channel></rss>'
    assert parse(named.encode("latin-1"), "https://example.org/", "text/xml; charset=iso-8859-1").title == "Grüße"
