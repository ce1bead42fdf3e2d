"""OPML files at random."""

from __future__ import annotations

import pytest
from hypothesis import given

from pipeline.errors import ParseError, RefusedError
from pipeline.feed.discover import feed_links
from pipeline.feed.opml import MAX_TAGS, MAX_URL, read_opml, web_address, write_opml
from pipeline.feed.private import masked, origin, take_apart
from tests.fuzz.damage import LONG, anything, in_time, quick, storable

OPML = """<?xml version="1.0" encoding="UTF-8"?><opml version="2.0"><head><title>T</title></head><body>
<outline text="Tech"><outline text="AI &amp; ML"><outline type="rss" text="Deep" title="Deep &#228;"
 xmlUrl="https://u:p@deep.example.org/feed?auth=abc&amp;b=2" category="/Science/Machines,Favourite"/></outline>
<outline title="Shallow" xmlUrl="feed://shallow.example.org:8080/feed"/></outline></body></opml>"""
LOOSE = '<opml><body><outline xmlUrl="https://e.org/f?a=1&b=2"/><outline XMLURL="http://[::1]/x"/></body></opml>'
PAGE = """<html><head><base href="/x/"><link rel="alternate" type="application/rss+xml" title="t"
 href="/feed?a=1&amp;b">
<LINK REL=alternate TYPE='application/atom+xml' HREF=feed.xml>
<a rel=alternate type=text/xml href="http://e.org/"></head>"""


def check(data: bytes) -> None:
    with in_time():
        try:
            found = read_opml(data)
        except (ParseError, RefusedError):
            return
    for f in found:
        assert f.url and len(f.url) <= MAX_URL and len(f.tags) <= MAX_TAGS and storable(f.title)
        assert all(storable(t) and t == t.strip() for t in f.tags)
        if web_address(f.url):
            shown, secret = take_apart(f.url)
            assert origin(shown) and "@" not in shown.partition("//")[2].partition("/")[0]
            assert secret is None or secret.origin == origin(shown)
        masked(f.url)
    assert len(read_opml(write_opml(found).encode("utf-8", "replace"))) == len(found)


@quick()
@given(anything([OPML, LOOSE]))
def test_a_list_is_read_or_refused(data: bytes) -> None:
    check(data)


@pytest.mark.slow
@quick(LONG)
@given(anything([OPML, LOOSE]))
def test_a_list_is_read_or_refused_at_length(data: bytes) -> None:
    check(data)


@quick()
@given(anything([PAGE]))
def test_links_of_a_page(data: bytes) -> None:
    with in_time():
        found = feed_links(data, "https://e.org/p")
    assert all(u.startswith(("http://", "https://")) for u in found)
