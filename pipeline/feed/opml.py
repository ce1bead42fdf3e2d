"""Lists of feeds as other readers write them: OPML in and out.

A hostile file is bounded in size, depth and number of outlines, and no entity is ever expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from pipeline.errors import ParseError, RefusedError

MAX_BYTES = 5_000_000
MAX_DEPTH = 40
MAX_OUTLINES = 20_000
MAX_URL = 2000
MAX_TAG = 60
MAX_TAGS = 20
_LOOSE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class OpmlFeed:
    """One feed of a list: its address as written, its title, and its tags in lower case."""

    url: str
    title: str | None = None
    tags: tuple[str, ...] = ()


def read_opml(data: bytes) -> tuple[OpmlFeed, ...]:
    """The feeds of an OPML document in its order, repetitions too. Raises ParseError, RefusedError.

    The outlines around a feed are its tags, and so is its `category` (a list with commas; slashes are levels).
    """
    if len(data) > MAX_BYTES:
        raise RefusedError(f"The file is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        return _read(data)
    except expat.ExpatError as e:
        loose = data if b"\0" in data[:100] else _LOOSE.sub(b"&amp;", data)
        if loose == data:
            raise ParseError("The file is not well-formed XML", why=str(e)) from e
    try:
        # Many exporters write the addresses' ampersands as they are.
        return _read(loose)
    except expat.ExpatError as e:
        raise ParseError("The file is not well-formed XML", why=str(e)) from e


def _read(data: bytes) -> tuple[OpmlFeed, ...]:
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(data, True)
    except (ValueError, LookupError) as e:
        # An encoding that nobody knows, or one of several bytes a character.
        raise ParseError("The file cannot be decoded", why=str(e)) from e
    if not reader.is_opml:
        raise ParseError("The file is not OPML", hint="export the list of feeds as OPML from your other player")
    return tuple(reader.feeds)


class _Reader:
    def __init__(self) -> None:
        self.feeds: list[OpmlFeed] = []
        self.is_opml = False
        self._outlines = 0
        self._depth = 0
        self._folders: list[tuple[str, ...]] = []

    def refuse(self, *_: Any) -> int:
        raise RefusedError("The file declares entities, and no list of feeds needs them")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RefusedError(f"The file is nested more than {MAX_DEPTH} deep")
        if self._depth == 1:
            self.is_opml = name.lower() == "opml"
        if name.lower() != "outline":
            return
        self._outlines += 1
        if self._outlines > MAX_OUTLINES:
            raise RefusedError(f"The file has more than {MAX_OUTLINES} outlines")
        values = {k.lower(): v for k, v in attributes.items()}
        title = (values.get("title") or values.get("text") or "").strip()[:500] or None
        url = values.get("xmlurl", "").strip()
        inner: tuple[str, ...] = ()
        if url:
            around = [t for level in self._folders for t in level]
            self.feeds.append(OpmlFeed(address(url), title, tags(around, *_categories(values.get("category", "")))))
        elif title:
            inner = (title,)
        self._folders.append(inner)

    def end(self, name: str) -> None:
        self._depth -= 1
        if name.lower() == "outline":
            self._folders.pop()


def address(url: str) -> str:
    """Without the schemes that only say "this is a feed"."""
    scheme, colon, rest = url[:MAX_URL].partition(":")
    if colon and scheme.lower() in ("feed", "pcast", "itpc", "podcast"):
        return f"http:{rest}" if rest.startswith("//") else rest
    return url[:MAX_URL]


def _categories(value: str) -> Iterable[Iterable[str]]:
    return (part.split("/") for part in value[:2000].split(","))


def tags(*groups: Iterable[str]) -> tuple[str, ...]:
    """Names as tags: lower case, one space, no comma, no slash; each once, MAX_TAGS at most."""
    clean = (_ILLEGAL.sub("", name).replace(",", " ").replace("/", " ").lower() for group in groups for name in group)
    found = dict.fromkeys(" ".join(name.split())[:MAX_TAG].strip() for name in clean)
    found.pop("", None)
    return tuple(found)[:MAX_TAGS]


def web_address(url: str) -> bool:
    """Whether this can be a feed's address at all."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and _fits(url)
    except ValueError:
        return False


def _fits(url: str) -> bool:
    return url.isprintable() and len(url.encode("utf-8", "replace")) <= MAX_URL


def write_opml(feeds: Sequence[OpmlFeed], title: str = "Podsift") -> str:
    """An OPML 2.0 document. Feeds lie in a folder of their first tag; `category` has all of them."""
    folders: dict[str | None, list[OpmlFeed]] = {}
    for f in feeds:
        folders.setdefault(f.tags[0] if f.tags else None, []).append(f)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<opml version="2.0">',
        f"  <head><title>{escape(_ILLEGAL.sub('', title))}</title></head>",
        "  <body>",
    ]
    for folder in sorted(folders, key=lambda name: (name is None, name or "")):
        indent = "    " if folder is None else "      "
        lines += [] if folder is None else [f"    <outline text={_quoted(folder)}>"]
        lines += [indent + _outline(f) for f in folders[folder]]
        lines += [] if folder is None else ["    </outline>"]
    return "\n".join([*lines, "  </body>", "</opml>", ""])


def _outline(f: OpmlFeed) -> str:
    name = _quoted(f.title or f.url)
    category = f" category={_quoted(','.join(f.tags))}" if f.tags else ""
    return f'<outline type="rss" text={name} title={name} xmlUrl={_quoted(f.url)}{category}/>'


def _quoted(value: str) -> str:
    # A line break in an attribute is read back as a space unless it is written as a reference.
    return quoteattr(_ILLEGAL.sub("", value), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
