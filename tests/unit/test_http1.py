"""Answers of servers that break the rules: read with bounds, never in two ways, never at others' cost."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from pipeline import http1
from pipeline.http1 import MOST_HEAD, MOST_LINES, Line, Reply, WireError

OK = b"HTTP/1.1 200 OK\r\n"


class NoWriter:
    """Answers are only read here."""


def line(raw: bytes) -> Line:
    reader = asyncio.StreamReader(limit=MOST_HEAD)
    reader.feed_data(raw)
    reader.feed_eof()
    return Line(reader, cast(Any, NoWriter()))


def read(raw: bytes) -> tuple[Reply, bytes]:
    """The answer and its body. Raises WireError."""

    async def whole() -> tuple[Reply, bytes]:
        reply = await line(raw).reply()
        return reply, b"".join([piece async for piece in reply.raw()])

    return asyncio.run(whole())


def test_an_answer_as_it_should_be() -> None:
    reply, body = read(OK + b'ETag: "\xc3\xa4"\r\nX: 1\r\nx: 2\r\nContent-Length: 2\r\n\r\nhi')
    assert (reply.status, body, reply.keeps, reply.done) == (200, b"hi", True, True)
    assert reply.headers == {"etag": '"ä"', "x": "1, 2", "content-length": "2"}


@pytest.mark.parametrize(
    ("raw", "body", "keeps"),
    [
        (b"HTTP/1.0 200 OK\nContent-Length: 2\n\nhi", b"hi", False),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"\r\n" + OK + b"Content-Length: 0\r\n\r\n", b"", True),
        (OK + b"Content-Length: 2, 2\r\n\r\nhi", b"hi", True),
        (OK + b"Content-Length: 2\r\nConnection: Close\r\n\r\nhi", b"hi", False),
        (OK + b"\r\nto the end", b"to the end", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", b"x", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", b"x", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\n\r\n", b"", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nTrailer: x\r\n\r\n", b"hi", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\nh\n00001\ni\n0\n\n", b"hi", True),
        # A length beside chunks is how requests and answers are smuggled: chunks count, and the connection ends.
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x", False),
        # What another reader may take for a header: nothing is read behind this answer.
        (OK + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (OK + b"Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (OK + b"\x00Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (OK + b"no header at all\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
    ],
)
def test_answers_that_are_taken(raw: bytes, body: bytes, keeps: bool) -> None:
    reply, found = read(raw)
    assert (found, reply.keeps) == (body, keeps)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n", "middle of an answer"),
        (b"ICY 200 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 -200 OK\r\n\r\n", "not HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", "not HTTP"),
        (b"<html>\r\n\r\n", "not HTTP"),
        (OK + b"A: " + b"x" * 300_000, "header is too long"),
        (OK + b"A:\n" * (MOST_LINES + 1) + b"\r\n", "header lines"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, "interim"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "closed"),
        (OK + b"Content-Length: 1, 2\r\n\r\nhi", "length is no number"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi", "length is no number"),
        (OK + b"Content-Length: -1\r\n\r\nhi", "length is no number"),
        (OK + b"Content-Length: +1\r\n\r\nhi", "length is no number"),
        (OK + b"Content-Length: 0x1\r\n\r\nhi", "length is no number"),
        (OK + b"Content-Length: 1_0\r\n\r\nhi", "length is no number"),
        (OK + "Content-Length: ٣\r\n\r\nhi".encode(), "length is no number"),
        (OK + b"Content-Length:\r\n\r\nhi", "length is no number"),
        (OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n", "length is no number"),
        (OK + b"Content-Length: 9\r\n\r\nhi", "7 bytes early"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "transferred as"),
        (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n", "transferred as"),
        (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", "transferred as"),
        (OK + b"Transfer-Encoding: xchunked\r\n\r\n", "transferred as"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n", "chunk's size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n", "chunk's size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n", "chunk's size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1 1\r\nx\r\n", "chunk's size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n\r\nx\r\n", "chunk's size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\nx\r\n", "chunk's size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1" + b";" * 200_000, "header is too long"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", "longer than it says"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nxy", "ended early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "closed"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 500, "trailers do not end"),
    ],
)
def test_answers_that_are_refused(raw: bytes, said: str) -> None:
    with pytest.raises(WireError, match=said):
        read(raw)


def test_a_head_of_many_lines_costs_no_square() -> None:
    began = time.process_time()
    with pytest.raises(WireError, match="header lines"):
        read(OK + b"A:\n" * 20_000 + b"\r\n")
    assert time.process_time() - began < 0.5


def test_chunks_of_one_byte_leave_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "MOST_CHUNKS", 20_000)
    flood = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 30_000

    async def beside() -> int:
        async def hostile() -> None:
            reply = await line(flood).reply()
            with pytest.raises(WireError, match="more than 20000 chunks"):
                async for _ in reply.raw():
                    pass

        turns, task = 0, asyncio.ensure_future(hostile())
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        await task
        return turns

    assert asyncio.run(beside()) > 20_000 / http1.BREATHE - 2
