"""What a server answers, read with bounds: bodies, and how long it asks to be left alone."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipeline.errors import FetchError, RefusedError
from pipeline.urls import redact

MAX_RETRY_AFTER_S = 31 * 86400
MOST_MEMBERS = 1000
"""Members of a gzip body. 15 MB have room for 750,000 empty ones, each of which costs a new unpacker."""


class Body:
    """A body as it comes in, unpacked no further than `max_bytes`: 17 kB of gzip in gzip would become 3 GB."""

    def __init__(self, url: str, headers: Mapping[str, str], max_bytes: int):
        self._url, self._most = redact(url), max_bytes
        self._parts: list[bytes] = []
        self.wire_bytes = self.bytes = 0
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise RefusedError(f"{self._url} comes encoded as {encoding[:40]!r}", why="only gzip was asked for")
        self._gzip = zlib.decompressobj(31) if "gzip" in encoding else None
        self._members = 1

    def add(self, raw: bytes) -> None:
        """Take bytes from the wire. Raises RefusedError when it grows too large."""
        self.wire_bytes += len(raw)
        while raw:
            piece, raw = (raw, b"") if self._gzip is None else self._unpack(self._gzip, raw)
            self.bytes += len(piece)
            if max(self.bytes, self.wire_bytes) > self._most:
                raise RefusedError(f"{self._url} is larger than {self._most} bytes decoded")
            self._parts.append(piece)

    def _unpack(self, gzip: zlib._Decompress, raw: bytes) -> tuple[bytes, bytes]:
        try:
            piece = gzip.decompress(raw, self._most - self.bytes + 1)
        except zlib.error as e:
            raise FetchError(f"{self._url} could not be unpacked", why=str(e)) from e
        rest = gzip.unused_data
        if gzip.eof and rest:
            # A gzip file may have several members; padding behind the last one means nothing.
            self._gzip = zlib.decompressobj(31) if rest.startswith(b"\x1f\x8b") else gzip
            self._members += 1
            if self._members > MOST_MEMBERS:
                raise RefusedError(f"{self._url} is packed in more than {MOST_MEMBERS} parts")
        return piece, rest if self._gzip is not gzip else b""

    def whole(self) -> bytes:
        """All of it. Raises FetchError when the packed data end early."""
        if self._gzip is not None and self.wire_bytes and not self._gzip.eof:
            raise FetchError(f"{self._url} ended early", why="the gzip data are cut off")
        return b"".join(self._parts)


def retry_after(value: str | None, date: str | None) -> float | None:
    """Retry-After in seconds, given as seconds or as a date relative to the server's own Date; at most 31 days."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(min(int(value.strip()[:10]), MAX_RETRY_AFTER_S))
    try:
        at = parsedate_to_datetime(value)
        base = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return min(max((at - base).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError, OverflowError):
        return None


def max_age(value: str | None) -> float | None:
    """max-age of a Cache-Control header."""
    for part in (value or "").split(","):
        name, _, number = part.strip().partition("=")
        if name.lower() == "max-age" and number.strip('"').isdecimal():
            return float(number.strip('"')[:9])
    return None


def fresh_for(headers: Mapping[str, str]) -> float | None:
    """Seconds for which an answer is fresh: max-age, else Expires relative to the server's own Date (RFC 9111)."""
    found = max_age(headers.get("cache-control"))
    return retry_after(headers.get("expires"), headers.get("date")) if found is None else found
