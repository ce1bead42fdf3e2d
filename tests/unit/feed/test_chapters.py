"""Chapters of Podcasting 2.0, as documents really are and as they might be."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import GoneError, ParseError, RefusedError
from pipeline.feed.chapters import MAX_BYTES, MAX_CHAPTERS, fetch_chapters, read_chapters
from pipeline.records import Chapter
from pipeline.settings import Settings
from pipeline.transport import client
from tests.fakes.http_server import redirect, send, serve


def document(*chapters: object) -> bytes:
    return json.dumps({"version": "1.2.0", "chapters": chapters}).encode()


def test_chapters_in_order_of_time() -> None:
    body = document(
        {"startTime": 60.5, "title": " Two\n words ", "url": "/more", "img": "pic.jpg"},
        {"startTime": "0", "title": "One"},
        {"startTime": 30, "title": "Only a picture", "toc": False},
        {"startTime": 31, "img": "https://e.org/x.png"},
        {"startTime": -1, "title": "before"},
        {"startTime": True, "title": "yes"},
        {"startTime": 1e400, "title": "never"},
        {"title": "nowhere"},
        "nothing",
        {"startTime": 90, "title": "Bad link\0", "url": "javascript:alert(1)", "img": "http://[x"},
    )
    assert read_chapters(b"\xef\xbb\xbf" + body, "https://e.org/c/1.json") == (
        Chapter(0.0, "One"),
        Chapter(60.5, "Two words", "https://e.org/more", "https://e.org/c/pic.jpg"),
        Chapter(90.0, "Bad link"),
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"chapters": {}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"<html>",
        b"1" * 5000,
        b" " * (MAX_BYTES + 1),
    ],
    ids=["empty", "list", "none", "object", "binary", "deep", "html", "number", "large"],
)
def test_what_is_none(body: bytes) -> None:
    with pytest.raises(ParseError):
        read_chapters(body)


def test_there_is_an_end_to_them() -> None:
    assert len(read_chapters(document(*({"startTime": k, "title": "x"} for k in range(5000))))) == MAX_CHAPTERS


def test_they_come_through_the_guard(settings: Settings) -> None:
    with serve() as site:
        site.answers["/c"] = send(document({"startTime": 1, "title": "One", "url": "x"}))
        site.answers["/gone"] = send(status=404)
        site.answers["/moved"] = redirect("http://10.0.0.1/")
        with client(settings.feed) as closed, pytest.raises(RefusedError):
            fetch_chapters(closed, site.base + "/c")
        with client(settings.feed.model_copy(update={"allow_hosts": (site.host,)})) as opened:
            assert fetch_chapters(opened, site.base + "/c") == (Chapter(1.0, "One", site.base + "/x"),)
            with pytest.raises(GoneError):
                fetch_chapters(opened, site.base + "/gone")
            with pytest.raises(RefusedError):
                fetch_chapters(opened, site.base + "/moved")
