"""From what people paste to a feed's address: the feed itself, a web page that names it, an Apple Podcasts link."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from pipeline import transport
from pipeline.errors import ParseError, PermanentError, PodsiftError, RefusedError
from pipeline.feed.opml import address
from pipeline.feed.parse import parse
from pipeline.feed.pool import ParserPool
from pipeline.feed.private import Access
from pipeline.records import ParsedFeed
from pipeline.settings import FeedSettings

APPLE_LOOKUP = "https://itunes.apple.com/lookup?entity=podcast&id="
"""Apple's public look-up by id; it needs no key."""
_APPLE_HOSTS = ("podcasts.apple.com", "itunes.apple.com", "geo.itunes.apple.com", "embed.podcasts.apple.com")
_APPLE_ID = re.compile(r"/id(\d{1,15})(?:[/?#]|$)")
_FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/xml", "text/xml", "application/rdf+xml")
MAX_LOOKUP = 1_000_000
MAX_HTML = 500_000
"""Characters of a page that are read: the links stand in its head."""
MAX_CANDIDATES = 5
MAX_LINKS = 100
_TAG = re.compile(r"<(link|a|base)\s([^<>]{1,4000})>", re.IGNORECASE)
"""Each part is bounded or ends at the next `<`, so a page of `<link` after `<link` costs no square."""
_ATTRIBUTE = re.compile(r"""([a-z-]{1,30})\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A feed that was found and read: its address, what it holds, and other feeds that the same page names."""

    url: str
    feed: ParsedFeed
    others: tuple[str, ...] = ()


Fetch = Callable[[str], "Document"]
Parse = Callable[[bytes, str, str | None], ParsedFeed]


@dataclass(frozen=True, slots=True)
class Document:
    """What an address answered."""

    body: bytes
    content_type: str | None
    final_url: str


def fetcher(settings: FeedSettings, access: Access | None = None) -> Fetch:
    """Fetches through the guard, within a feed's limits. `access` has the credentials of its own origin."""

    def fetch(url: str) -> Document:
        headers = transport.basic(*access.auth) if access and access.auth and access.url == url else None
        with transport.client(settings) as client:
            with transport.stream(client, url, headers, timeout_s=settings.timeout_s) as (response, hops):
                if response.status_code in (401, 403):
                    raise PermanentError(
                        f"{transport.redact(url)} is not open to everybody",
                        why=f"the server answered {response.status_code}",
                        hint="a private feed: podsift feed add URL --user NAME, or the address with its token",
                    )
                transport.raise_for_status(url, response)
                body = transport.Body(url, response.headers, settings.max_bytes)
                for raw in response.iter_raw():
                    body.add(raw)
                return Document(body.whole(), response.headers.get("content-type"), hops.final_url)

    return fetch


def read_apart(body: bytes, base_url: str, content_type: str | None) -> ParsedFeed:
    """Parses in a process of its own, which ends when a document takes too much. Raises ParseError."""

    async def parsed() -> ParsedFeed:
        async with ParserPool(1) as pool:
            return await pool.parse(body, base_url, content_type)

    return asyncio.run(parsed())


def discover(url: str, fetch: Fetch, read: Parse = parse, *, apple_lookup: str = APPLE_LOOKUP) -> Found:
    """The feed behind an address. Raises FetchError, GoneError, RefusedError, ParseError, PermanentError."""
    show = apple_id(url)
    if show is not None:
        url = apple_feed(fetch(apple_lookup + show).body)
    document = fetch(url)
    try:
        return Found(url, read(document.body, document.final_url, document.content_type))
    except ParseError as e:
        links = feed_links(document.body, document.final_url)
        if not links:
            raise ParseError(
                "This is neither a feed nor a page that names one",
                why=e.cause(),
                hint="look for an RSS link on the show's page, and give that address",
            ) from e
    return _best(links[:MAX_CANDIDATES], fetch, read)


def _best(links: list[str], fetch: Fetch, read: Parse) -> Found:
    """The first that has audio: blogs name the feed of their comments as well."""
    refused: list[str] = []
    for k, link in enumerate(links):
        try:
            document = fetch(link)
            feed = read(document.body, document.final_url, document.content_type)
        except PodsiftError as e:
            refused.append(str(e))
            continue
        if feed.episodes:
            return Found(link, feed, tuple(other for other in links[k + 1 :]))
        refused.append(f"{transport.redact(link)} has no audio")
    raise ParseError("The page names feeds, and none of them has audio", why="; ".join(refused)[:500])


def apple_id(url: str) -> str | None:
    """The show's id of an Apple Podcasts link, None for other addresses."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or host not in _APPLE_HOSTS:
        return None
    m = _APPLE_ID.search(parts.path)
    return m[1] if m else None


def apple_feed(body: bytes) -> str:
    """The feed's address in Apple's answer. Raises ParseError when there is none: some shows are Apple's alone."""
    try:
        answer = json.loads(body[:MAX_LOOKUP])
        results = answer["results"]
        urls = [r["feedUrl"] for r in results[:10] if isinstance(r, dict) and isinstance(r.get("feedUrl"), str)]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise ParseError("Apple's answer cannot be read") from e
    if not urls:
        raise ParseError("Apple names no feed for this show", hint="look for an RSS link on the show's own page")
    if not urls[0].startswith(("http://", "https://")):
        raise RefusedError("Apple's answer names what is no web address")
    return str(urls[0])


def feed_links(body: bytes, base_url: str) -> list[str]:
    """Addresses of `<link rel="alternate">` feeds of a page, those of comments last."""
    links: list[str] = []
    base = base_url
    for tag in _TAG.finditer(body[: 4 * MAX_HTML].decode("utf-8", "replace")[:MAX_HTML]):
        values = {m[1].lower(): html.unescape(m[2] or m[3] or m[4] or "").strip() for m in _ATTRIBUTE.finditer(tag[2])}
        href = values.get("href", "")
        if tag[1].lower() == "base":
            base = _joined(base_url, href) or base
        kind = values.get("type", "").lower().partition(";")[0].strip()
        if kind in _FEED_TYPES and "alternate" in values.get("rel", "").lower().split() and href:
            url = _joined(base, address(href))
            links += [url] if url else []
        if len(links) >= MAX_LINKS:
            break
    comments = [u for u in links if "comment" in u.lower()]
    return list(dict.fromkeys([u for u in links if u not in comments] + comments))


def _joined(base: str, href: str) -> str | None:
    try:
        url = urljoin(base, href)
    except ValueError:
        return None
    return url if url.startswith(("http://", "https://")) and len(url) <= 2000 else None
