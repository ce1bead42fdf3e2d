"""HTTP/1.1 answers, read with bounds from a connection that may be anybody's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pipeline import __version__
from pipeline.settings import FeedSettings

MOST_HEAD = 65_536
MOST_LINES = 500
"""Header lines of one answer. Joining repeated ones would else cost the square of their number."""
MOST_CHUNKS = 200_000
BREATHE = 64
"""Chunks read before others have their turn: one byte each, they would keep the loop busy as long as they come."""
_INTERIM = 5
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?")
_BLANK = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def request_headers(feed: FeedSettings) -> dict[str, str]:
    """What every request says."""
    # gzip alone: it is what `Body` unpacks with a bound, and brotli or zstd reach ratios of many thousands.
    return {
        "User-Agent": f"podsift/{__version__} (+{feed.contact})",
        "Accept": "*/*",
        "Accept-Encoding": "gzip",
    }


class WireError(OSError):
    """What a server sent is not HTTP, or ended early."""


@dataclass
class Reply:
    """An answer's status and headers (names in lower case, repeated ones joined); `raw` gives its body."""

    status: int
    headers: Mapping[str, str]
    line: Line
    length: int | None
    """Bytes of the body; None when it is chunked or ends with the connection."""
    chunked: bool = False
    keeps: bool = True
    done: bool = False

    async def raw(self) -> AsyncIterator[bytes]:
        """The body as it comes, still compressed. Raises OSError when it ends early."""
        if self.chunked:
            async for piece in self.line.chunks():
                yield piece
        elif self.length is None:
            while piece := await self.line.some():
                yield piece
        else:
            left = self.length
            while left:
                piece = await self.line.some(left)
                if not piece:
                    raise WireError(f"the body ended {left} bytes early")
                left -= len(piece)
                yield piece
        self.done = True


@dataclass
class Line:
    """One connection and what was read from it ahead."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ahead: bytearray = field(default_factory=bytearray)
    used: bool = False

    async def _more(self) -> bool:
        got = await self.reader.read(MOST_HEAD)
        self.ahead += got
        return bool(got)

    async def until(self, mark: re.Pattern[bytes], most: int) -> bytes:
        """What comes before the mark. Raises WireError when it is not there within `most` bytes."""
        begin = 0
        while True:
            found = mark.search(self.ahead, begin)
            if found:
                got = bytes(self.ahead[: found.start()])
                del self.ahead[: found.end()]
                return got
            if len(self.ahead) > most:
                raise WireError("a header is too long")
            begin = max(len(self.ahead) - 3, 0)
            if not await self._more():
                raise WireError("the connection was closed" + (" in the middle of an answer" if self.ahead else ""))

    async def some(self, most: int = MOST_HEAD) -> bytes:
        if not self.ahead:
            return await self.reader.read(min(most, MOST_HEAD))
        got = bytes(self.ahead[:most])
        del self.ahead[:most]
        return got

    async def chunks(self) -> AsyncIterator[bytes]:
        for number in range(MOST_CHUNKS):
            if number % BREATHE == BREATHE - 1:
                await asyncio.sleep(0)
            size = (await self.until(_LINE, 4096)).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
                raise WireError("a chunk's size is no number")
            left = int(size, 16)
            if left == 0:
                # Trailers mean nothing to us, but an answer ends behind them.
                for _ in range(100):
                    if not await self.until(_LINE, 4096):
                        return
                raise WireError("its trailers do not end")
            while left:
                piece = await self.some(left)
                if not piece:
                    raise WireError("a chunk ended early")
                left -= len(piece)
                yield piece
            if await self.until(_LINE, 4096):
                raise WireError("a chunk is longer than it says")
        raise WireError(f"it comes in more than {MOST_CHUNKS} chunks")

    async def reply(self) -> Reply:
        for _ in range(_INTERIM):
            head = await self.until(_BLANK, MOST_HEAD)
            status, minor, headers = _head(head)
            if status >= 200:
                return _reply(self, status, minor, headers)
        raise WireError("interim answers do not end")


def _head(head: bytes) -> tuple[int, int, dict[str, str]]:
    """Status, minor version (0 also where the connection must not be used again), headers."""
    first, *lines = _LINE.split(head.lstrip(b"\r\n"))
    found = _STATUS.fullmatch(first)
    if not found:
        raise WireError("what came is not HTTP")
    if len(lines) > MOST_LINES:
        raise WireError(f"it has more than {MOST_LINES} header lines")
    headers: dict[str, str] = {}
    minor = int(found[1])
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            # A folded or broken line: nothing that matters here spans lines, but where this answer ends may be read
            # in two ways, so nothing is read behind it.
            minor = 0
            continue
        key = name.decode("ascii").lower()
        try:
            text = value.strip().decode("utf-8")
        except UnicodeDecodeError:
            text = value.strip().decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers and key != "location" else text
    return int(found[2]), minor, headers


def _reply(line: Line, status: int, minor: int, headers: dict[str, str]) -> Reply:
    keeps = (minor == 1) and "close" not in headers.get("connection", "").lower()
    coding = headers.get("transfer-encoding", "").strip().lower()
    if status in (204, 304):
        return Reply(status, headers, line, 0, keeps=keeps and not coding)
    if coding:
        if coding != "chunked":
            raise WireError(f"it is transferred as {coding[:40]!r}")
        return Reply(status, headers, line, None, chunked=True, keeps=keeps and "content-length" not in headers)
    if "content-length" not in headers:
        return Reply(status, headers, line, None, keeps=False)
    lengths = {part.strip() for part in headers["content-length"].split(",")}
    (length, *others) = lengths
    if others or not re.fullmatch(r"[0-9]{1,15}", length):
        raise WireError("its length is no number")
    return Reply(status, headers, line, int(length), keeps=keeps)
