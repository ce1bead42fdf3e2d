"""Bytes of a transcript document to text, within bounds, whatever encoding a publisher's tool wrote."""

from __future__ import annotations

import codecs

from pipeline.errors import ParseError, RefusedError

MAX_BYTES = 20_000_000
"""An eight-hour episode with a JSON object for each word takes about 8 MB."""
MAX_SEGMENTS = 300_000
MAX_SEGMENT_CHARS = 20_000


def decode(data: bytes) -> str:
    """Text by byte order mark, UTF-8, UTF-16 without a mark, else Windows-1252. Raises RefusedError, ParseError."""
    if len(data) > MAX_BYTES:
        raise RefusedError(f"The transcript is larger than {MAX_BYTES // 1_000_000} MB")
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _decoded(data, encoding)
    head = data[:2000]
    if head.count(0) > len(head) // 4:
        return _decoded(data, "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return _lines(text)


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return _lines(data.decode(encoding))
    except UnicodeDecodeError as e:
        raise ParseError(f"The transcript is not valid {encoding.removesuffix('-sig')}") from e


def _lines(text: str) -> str:
    if "\0" in text:
        raise ParseError("The transcript is not text", why="it holds NUL characters")
    return text.replace("\r\n", "\n").replace("\r", "\n")
