"""A feed document as records: feedparser, with the podcast namespace, and our own reading of dates and enclosures."""

from __future__ import annotations

import io
import logging
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import feedparser

from pipeline.clock import iso_z
from pipeline.errors import ParseError
from pipeline.feed.namespace import LIVE, register
from pipeline.feed.values import MAX_EPISODES, parse_date, parse_duration
from pipeline.records import Chapter, ParsedEpisode, ParsedFeed, Person, Soundbite, TranscriptLink
from pipeline.urls import redact

AUDIO = (".mp3", ".m4a", ".m4b", ".aac", ".ogg", ".oga", ".opus", ".flac", ".wav", ".mp2", ".wma", ".aif", ".aiff")
MAX_TEXT = 20_000
MAX_PERSONS, MAX_CHAPTERS, MAX_SOUNDBITES = 200, 1000, 100
_REFERENCE = re.compile(rb"&#(?:x([0-9a-f]{1,12})|([0-9]{1,12}));", re.IGNORECASE)
_ONE_BYTE = r"(?:windows|cp)-?12\d\d|iso-?8859-?\d+|latin-?\d|(?:us-)?ascii"
_DECLARED = re.compile(
    rf"(\A\s*<\?xml[^<>]{{0,200}}?encoding\s*=\s*[\"'])(?:{_ONE_BYTE})(?=[\"'])".encode(), re.IGNORECASE
)
_CHARSET = re.compile(rf";\s*charset\s*=\s*[\"']?(?:{_ONE_BYTE})\b[\"']?", re.IGNORECASE)
log = logging.getLogger(__name__)

register()


def parse(body: bytes, base_url: str, content_type: str | None = None) -> ParsedFeed:
    """Read a feed. `base_url` resolves relative addresses. Raises ParseError for what is no feed."""
    body, content_type = _as_it_is(body, content_type)
    headers = {"content-type": content_type or "application/xml"}
    try:
        # BytesIO, or feedparser would try to open the document as a file name. No content-location: it would resolve
        # guids.
        d = feedparser.parse(
            io.BytesIO(_REFERENCE.sub(_possible, body)),
            response_headers=headers,
            resolve_relative_uris=False,
            sanitize_html=False,
        )
    except Exception as e:  # feedparser promises nothing for hostile input, and one document is one feed's trouble
        raise ParseError("The feed cannot be read", why=f"{type(e).__name__}: {e}") from e
    if not d.get("version"):
        why = str(d.get("bozo_exception") or "it is neither RSS nor Atom")
        raise ParseError(
            "This is not a feed", why=why, hint="give the address of the RSS or Atom feed, not of a web page"
        )
    f = d.feed
    nexts = [link.get("href") for link in f.get("links", []) if link.get("rel") == "next" and link.get("href")]
    image = f.get("image") or {}
    return ParsedFeed(
        title=_text(f.get("title")),
        language=_text(f.get("language")),
        ttl_minutes=_int(f.get("ttl")),
        new_feed_url=_text(f.get("itunes_new-feed-url")),
        next_page_url=_url(nexts[0], base_url) if nexts else None,
        podcast_guid=_text(f.get("podcast_guid")),
        link=_url(f.get("link"), base_url),
        description=_text(f.get("subtitle")),
        image_url=_url(image.get("href"), base_url),
        episodes=tuple(_episodes(d.entries, base_url)),
        persons=_persons(f),
    )


def _as_it_is(body: bytes, content_type: str | None) -> tuple[bytes, str | None]:
    """UTF-8 is read as such, whatever one-byte encoding is declared: text in one of those is hardly ever UTF-8 too."""
    declared = _DECLARED.match(body)
    if (declared is None and not _CHARSET.search(content_type or "")) or body.isascii():
        return body, content_type
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return body, content_type
    return _DECLARED.sub(rb"\1utf-8", body, count=1), _CHARSET.sub("; charset=utf-8", content_type or "") or None


def _possible(m: re.Match[bytes]) -> bytes:
    """A character reference as it is, or the replacement character: one that XML forbids would end the whole feed."""
    number = int(m[1], 16) if m[1] else int(m[2])
    forbidden = number > 0x10FFFF or 0xD800 <= number <= 0xDFFF or (number < 32 and number not in (9, 10, 13))
    return b"&#xFFFD;" if forbidden else m[0]


def _text(value: Any) -> str | None:
    # No database column takes a NUL.
    text = str(value).replace("\0", "").strip()[:MAX_TEXT] if value is not None else ""
    return text or None


def _int(value: Any) -> int | None:
    text = str(value or "").strip()
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _url(value: Any, base_url: str) -> str | None:
    text = _text(value)
    if text is None:
        return None
    try:
        # Only what is relative is resolved: joining may rewrite an absolute address, and that is an identity.
        return text if urlsplit(text).scheme else urljoin(base_url, text)
    except ValueError:
        return text


def _enclosure(entry: Any) -> Any:
    found = [e for e in entry.get("enclosures", []) if (e.get("href") or "").strip()]
    for e in found:
        kind = (e.get("type") or "").strip().lower()
        if kind.startswith("audio/") or kind == "application/ogg":
            return e
    for e in found:
        kind = (e.get("type") or "").strip().lower()
        if not kind.startswith(("video/", "image/")) and _path(e["href"]).endswith(AUDIO):
            return e
    return None


def _path(url: str) -> str:
    try:
        return urlsplit(url.strip()).path.lower()
    except ValueError:
        return ""


def _episodes(entries: Any, base_url: str) -> list[ParsedEpisode]:
    found = []
    for entry in entries:
        try:
            episode = None if entry.get(LIVE) else _episode(entry, base_url)
        except (ValueError, TypeError, LookupError, AttributeError) as e:
            # feedparser's values take odd shapes in odd documents, and a bad entry is skipped alone.
            log.warning("skipped an entry of %s: %s: %s", redact(base_url), type(e).__name__, e)
            continue
        if episode is not None:
            found.append(episode)
        if len(found) == MAX_EPISODES:
            log.warning("%s has more than %d episodes; the others are left out", redact(base_url), MAX_EPISODES)
            break
    return found


def _episode(entry: Any, base_url: str) -> ParsedEpisode | None:
    enclosure = _enclosure(entry)
    if enclosure is None:
        return None
    url = _url(enclosure["href"], base_url)
    assert url is not None
    raw = entry.get("published") or (entry.get("updated") if "updated" in entry else None)
    chapters = entry.get("podcast_chapters_link") or {}
    image = entry.get("image") or {}
    explicit = _text(entry.get("itunes_explicit"))
    return ParsedEpisode(
        guid=_text(entry.get("id")),
        title=_text(entry.get("title")),
        published=parse_date(raw),
        duration_s=parse_duration(entry.get("itunes_duration")),
        enclosure_url=url,
        enclosure_type=_text(enclosure.get("type")),
        enclosure_length=_int(enclosure.get("length")),
        link=_url(entry.get("link"), base_url),
        description=_text(entry.get("summary")),
        image_url=_url(image.get("href"), base_url),
        season=_int(entry.get("itunes_season")),
        number=_int(entry.get("itunes_episode")),
        episode_type=_text(entry.get("itunes_episodetype")),
        explicit=None if explicit is None else explicit.lower() in ("true", "yes", "explicit"),
        chapters_url=_url(chapters.get("url"), base_url),
        transcripts=tuple(_transcripts(entry, base_url)),
        persons=_persons(entry),
        chapters=tuple(
            # feedparser reads a start only with three decimals or none.
            Chapter(start, title, _url(c.get("href"), base_url), _url(c.get("image"), base_url))
            for c in (entry.get("psc_chapters") or {}).get("chapters", [])[:MAX_CHAPTERS]
            if (start := parse_duration(c.get("start"))) is not None and (title := _text(c.get("title")))
        ),
        soundbites=tuple(
            Soundbite(start, length, _text(s.get("title")))
            for s in entry.get("podcast_soundbites", [])[:MAX_SOUNDBITES]
            if (start := parse_duration(s.get("starttime"))) is not None
            and (length := parse_duration(s.get("duration")))
        ),
    )


def _persons(context: Any) -> tuple[Person, ...]:
    return tuple(
        Person(name, _text(p.get("role")), _text(p.get("href")), _text(p.get("group")), _text(p.get("img")))
        for p in context.get("podcast_persons", [])[:MAX_PERSONS]
        if (name := _text(p.get("name")))
    )


def _transcripts(entry: Any, base_url: str) -> list[TranscriptLink]:
    found = []
    for t in entry.get("podcast_transcripts", []):
        url = _url(t.get("url"), base_url)
        if url:
            found.append(TranscriptLink(url, _text(t.get("type")), _text(t.get("language")), _text(t.get("rel"))))
    return found


def feed_json(feed: ParsedFeed) -> dict[str, Any]:
    """A parsed feed as `podsift feed parse` prints it; times with a Z, unknown null."""
    return {
        "title": feed.title,
        "language": feed.language,
        "ttl_minutes": feed.ttl_minutes,
        "new_feed_url": feed.new_feed_url,
        "next_page_url": feed.next_page_url,
        "podcast_guid": feed.podcast_guid,
        "episodes": [
            {
                "guid": e.guid,
                "title": e.title,
                "published": iso_z(e.published),
                "duration_s": e.duration_s,
                "enclosure_url": e.enclosure_url,
                "enclosure_type": e.enclosure_type,
                "enclosure_length": e.enclosure_length,
                "transcripts": [
                    {"url": t.url, "type": t.type, "language": t.language, "rel": t.rel} for t in e.transcripts
                ],
                "chapters_url": e.chapters_url,
                "persons": [{"name": p.name, "role": p.role, "href": p.href} for p in e.persons],
            }
            for e in feed.episodes
        ],
    }
