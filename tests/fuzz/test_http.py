"""What servers send and what addresses look like, at random: read, or an error of ours, in bounds and in time."""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urljoin

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.answer import MAX_RETRY_AFTER_S, Body, fresh_for, max_age, retry_after
from pipeline.errors import PodsiftError, RefusedError
from pipeline.feed.fetch import validator
from pipeline.http1 import MOST_HEAD, Line, WireError
from pipeline.urls import Way, redact, split_credentials, target
from tests.fuzz.damage import LONG, NASTY, in_time, quick

SEEDS = [
    'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 5\r\n\r\nhello',
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1f\r\n"
    + "x" * 31
    + "\r\n0\r\nT: 1\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
    "HTTP/1.1 302 Found\r\nLocation: /x\r\nRetry-After: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nLast-Modified: x\r\nContent-Length: 3\r\n\r\n",
]
PIECES = [
    "\r\n",
    "\n",
    "\r",
    ":",
    " ",
    "\t",
    "0",
    "f",
    "-1",
    "chunked",
    "Content-Length: 1\r\n",
    "\r\n ",
    "9" * 30,
    ";",
]
LIMIT = 1000


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 20)))
        piece = draw(st.sampled_from([*PIECES, *NASTY]) | st.text(max_size=8))
        text = text[:at] + draw(st.sampled_from(["", piece, text[at:end] * draw(st.integers(1, 40))])) + text[end:]
    return text.encode("latin-1", "replace")


def read(raw: bytes, cuts: list[int]) -> None:
    async def whole() -> None:
        reader = asyncio.StreamReader(limit=MOST_HEAD)
        ends = sorted({min(c, len(raw)) for c in cuts} | {len(raw)})
        begin = 0
        for end in ends:
            reader.feed_data(raw[begin:end])
            begin = end
        reader.feed_eof()
        reply = await Line(reader, cast(Any, None)).reply()
        assert 200 <= reply.status <= 999
        assert all(k == k.lower() and not set("\r\n") & set(k) and "\n" not in v for k, v in reply.headers.items())
        retry_after(reply.headers.get("retry-after"), reply.headers.get("date"))
        fresh_for(reply.headers)
        body = Body("http://e.org/", reply.headers, LIMIT)
        async for piece in reply.raw():
            body.add(piece)
        assert len(body.whole()) <= LIMIT

    with suppress(WireError, PodsiftError):
        asyncio.run(whole())


@quick()
@given(answers() | st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=4))
def test_an_answer_is_read_or_refused(raw: bytes, cuts: list[int]) -> None:
    with in_time():
        read(raw, cuts)


@pytest.mark.slow
@quick(LONG)
@given(answers(), st.lists(st.integers(0, 400), max_size=4))
def test_an_answer_is_read_or_refused_at_length(raw: bytes, cuts: list[int]) -> None:
    with in_time():
        read(raw, cuts)


TIMES = st.sampled_from([*NASTY, "120", "-5", "Fri, 20 Nov 2026 10:00:00 GMT", "0", "1e5"]) | st.text(max_size=40)
LONG_DATES = st.from_regex(r"\d{1,3} (Jan|Feb) \d{1,25} \d{1,25}:\d{2}:\d{2} ([+-]\d{1,30}|GMT)", fullmatch=True)


@quick(300)
@given(TIMES | LONG_DATES, st.none() | TIMES | LONG_DATES)
@example("1 Jan 99999999999999999999 00:00:00 +0000", None)
@example("1 Jan 2026 00:00:00 +99999999999999999999", None)
@example("٣", "x")
def test_how_long_to_wait(value: str, date: str | None) -> None:
    with in_time(0.5):
        found = retry_after(value, date)
        fresh_for({"expires": value, "date": date or "", "cache-control": value})
        assert max_age(f"max-age={value}") is None or value
    assert found is None or 0 <= found <= MAX_RETRY_AFTER_S


@quick(200)
@given(st.text(max_size=50) | st.sampled_from(NASTY))
def test_a_validator_adds_no_line(value: str) -> None:
    kept = validator(value)
    assert kept is None or not set("\r\n\0") & set(kept)


HOSTS = st.sampled_from(
    [
        "e.org", "E.ORG.", "127.0.0.1", "[::1]", "[fe80::1%25e]", "[::ffff:1.2.3.4]",
        "bücher.example", "xn--bcher-kva.de",
        "１２７.0.0.1", "a_b.e.org", "0x7f.1", "a@b", "a:b@c",
        "e.org:80", "e.org:", "e.org:0", "[::1]:8080", "", "%31", "a b",
        "a\\b", "a#b", "ﬀ.example", "ℂ.example", "a。b",
    ]
)  # fmt: skip
URLS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "http:/", "//", "ftp://", " http://", "http://u:p@"]),
    HOSTS,
    st.sampled_from(["", "/", "/a?b#c", "/ä ö", "?x", "\\x", "/\r\nHost: x", "/%0d%0a", "/..//../", "/" + "a" * 9000])
    | st.text(max_size=20),
)


@quick(500)
@given(URLS | st.text(max_size=60))
@example("http://[::1%0]/")
@example("http://[v1.x]/")
def test_an_address_is_read_in_one_way(url: str) -> None:
    redact(url), split_credentials(url)
    with in_time(0.5):
        try:
            found = target(url)
        except RefusedError:
            return
    assert found.scheme in ("http", "https") and 0 < found.port < 65536
    for part in (found.host, found.authority, found.path):
        assert part.isascii() and part.isprintable() and " " not in part
    if ":" in found.host:
        assert "%" not in found.host and ipaddress.IPv6Address(found.host)
    # The other reader of addresses that we have sees the same place.
    again = httpx.URL(found.url)
    assert again.raw_host.decode() == found.host and again.port in (None, found.port)
    # It leaves out `/../`, we leave that to the server.
    assert again.raw_path.decode() == found.path or "/." in found.path
    assert target(found.url) == found
    assert not set("\r\n ") & set(Way(url).at.strip()) or target(Way(url).at) == found
    with suppress(RefusedError, ValueError):
        target(urljoin(url, "next?x=1"))
