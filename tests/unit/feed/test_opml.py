"""OPML in and out: nested folders, categories, broken exports, and files that mean harm."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ParseError, RefusedError
from pipeline.feed.opml import MAX_BYTES, MAX_DEPTH, MAX_OUTLINES, OpmlFeed, read_opml, tags, web_address, write_opml

NESTED = b"""<?xml version="1.0" encoding="UTF-8"?><opml version="2.0"><head><title>Mine</title></head><body>
<outline text="Tech"><outline text="AI &amp; ML">
<outline type="rss" text="Deep" xmlUrl="https://deep.example.org/feed" category="/Science/Machines,Favourite"/>
</outline><outline title="Shallow" xmlUrl="https://shallow.example.org/feed"/></outline>
<outline text="Alone" XMLURL=" feed://alone.example.org/rss "/>
</body></opml>"""


def test_folders_and_categories_are_tags() -> None:
    assert read_opml(NESTED) == (
        OpmlFeed("https://deep.example.org/feed", "Deep", ("tech", "ai & ml", "science", "machines", "favourite")),
        OpmlFeed("https://shallow.example.org/feed", "Shallow", ("tech",)),
        OpmlFeed("http://alone.example.org/rss", "Alone", ()),
    )


def test_ampersands_that_an_exporter_forgot() -> None:
    (one,) = read_opml(b'<opml><body><outline xmlUrl="https://e.org/f?a=1&b=2&amp;c=3&nbsp;"/></body></opml>')
    assert one.url == "https://e.org/f?a=1&b=2&c=3&nbsp;"


def test_other_encodings() -> None:
    text = '<?xml version="1.0" encoding="{}"?><opml><outline text="é" xmlUrl="http://e.org/"/></opml>'
    for name in ("windows-1252", "iso-8859-1", "utf-16"):
        (one,) = read_opml(text.format(name).encode(name))
        assert one.title == "é"


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"", ParseError, "well-formed"),
        (b"<html></html>", ParseError, "not OPML"),
        (b"<opml><body>", ParseError, "well-formed"),
        (b'<?xml version="1.0" encoding="shift_jis"?><opml/>', ParseError, "decoded"),
        (b'<?xml version="1.0" encoding="nonsense"?><opml/>', ParseError, "decoded"),
        (b'<!DOCTYPE o [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><opml>&b;</opml>', RefusedError, "entities"),
        (b'<!DOCTYPE o [<!ENTITY a SYSTEM "file:///etc/passwd">]><opml>&a;</opml>', RefusedError, "entities"),
        (b'<!DOCTYPE o [<!ENTITY % a SYSTEM "http://127.0.0.1/">%a;]><opml/>', RefusedError, "entities"),
        (b"<opml>" + b"<outline text='x'>" * (MAX_DEPTH + 1), RefusedError, "deep"),
        (b"<opml>" + b"<outline/>" * (MAX_OUTLINES + 1), RefusedError, "outlines"),
        (b" " * (MAX_BYTES + 1), RefusedError, "larger"),
    ],
    ids=["empty", "html", "cut", "multi-byte", "encoding", "bomb", "file", "parameter", "deep", "many", "large"],
)
def test_what_is_refused(data: bytes, error: type[Exception], said: str) -> None:
    began = time.process_time()
    with pytest.raises(error, match=said):
        read_opml(data)
    assert time.process_time() - began < 2


def test_an_external_document_type_is_not_fetched() -> None:
    assert read_opml(b'<!DOCTYPE opml SYSTEM "http://127.0.0.1:1/x.dtd"><opml><body/></opml>') == ()


@given(
    st.lists(
        st.builds(
            OpmlFeed,
            st.from_regex(r"https://[a-z]{1,9}\.org/[a-zA-Z0-9?&=<>'%\"]{0,20}", fullmatch=True),
            st.text(min_size=1, max_size=30).filter(lambda t: t == t.strip() and t.isprintable()),
            st.lists(st.text(max_size=20), max_size=4).map(lambda names: tags(names)),
        ),
        max_size=8,
        unique_by=lambda f: f.url,
    )
)
def test_what_is_written_is_read_back(feeds: list[OpmlFeed]) -> None:
    assert sorted(read_opml(write_opml(feeds).encode()), key=lambda f: f.url) == sorted(feeds, key=lambda f: f.url)


def test_web_addresses() -> None:
    good = ["https://e.org/f", "http://e.org:8080/"]
    bad = [
        "",
        "e.org/f",
        "ftp://e.org/",
        "file:///etc/passwd",
        "https://",
        "http://e.org:0/",
        "http://[::1/",
        "javascript:1",
    ]
    assert [u for u in good + bad if web_address(u)] == good
