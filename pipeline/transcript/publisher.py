"""A publisher's transcript: which of several to take, how to read it, and whether it fits the audio."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from pipeline.errors import ParseError, RefusedError
from pipeline.records import TranscriptLink
from pipeline.transcript import text as documents
from pipeline.transcript.base import Segment
from pipeline.transcript.language import contradicts
from pipeline.transcript.plain import cleaned, read_html, read_plain
from pipeline.transcript.podcast_json import read_podcast_json
from pipeline.transcript.srt import read_srt
from pipeline.transcript.vtt import read_vtt

_READERS = {"json": read_podcast_json, "vtt": read_vtt, "srt": read_srt, "html": read_html, "text": read_plain}
_PREFERENCE = ("json", "vtt", "srt", "html", "text")
_TYPES = {
    "application/json": "json",
    "text/json": "json",
    "text/vtt": "vtt",
    "text/webvtt": "vtt",
    "application/x-subrip": "srt",
    "application/srt": "srt",
    "text/srt": "srt",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
    "text/markdown": "text",
}

_PAGE = re.compile(r"<(?:!doctype html|html|body|div|p|cite|time|article|section|h[1-4])\b", re.IGNORECASE)
_CAPTIONS = re.compile(r"^[ \t]*[\d:,.]{1,40}[ \t]*-->[ \t]*[\d:,.]", re.MULTILINE)
"""Within a line: over lines, 20,000 line ends alone would take 3 s."""
_LEAST_PRINTS = 10
_MAX_SHARED = 0.5
"""Two episodes of a show share greetings and reads, never half of what is said."""
_MIN_COVERAGE = 0.6
_BRIDGED_S = 30.0
"""A pause between captions up to this long still counts as covered: music, laughter, a break."""
_BACKWARDS_S = 2.0
"""Captions of people who talk at the same time begin a little before the one above."""
_MAX_WORDS_PER_S = 6.0
_MIN_WORDS_PER_S = 0.2
_DENSE_WORDS_PER_S = 14.0
_NO_SPACES = {"ja", "zh", "yue", "th", "lo", "my", "km"}
_CHARS_PER_WORD = 2.0

_LABEL = re.compile(r"((?:[A-Z][\w.'’-]{0,30})(?: [A-Z][\w.'’-]{0,30}){0,3}): +(?=\S)")
_NOT_NAMES = {
    *("Note", "Notes", "Warning", "Remember", "Question", "Answer", "Example", "Tip", "Quote", "Disclaimer", "Update"),
    *("Transcript", "Music", "Intro", "Outro", "Chapter", "Episode", "Title", "First", "Second", "Third", "Also", "So"),
}


def choose(links: Sequence[TranscriptLink], language: str | None) -> list[TranscriptLink]:
    """The links worth fetching, best first: language that matches, then unstated, then other; JSON, WebVTT, SRT, then
    HTML and plain text, whose times are coarse; `rel="captions"` is as good as any."""
    wanted = _primary(language)

    def rank(link: TranscriptLink) -> tuple[int, int]:
        own = _primary(link.language)
        return (0 if own is not None and own == wanted else 1 if own is None or wanted is None else 2), (
            _PREFERENCE.index(_kind(link.type, link.url) or "srt")
        )

    return sorted((link for link in links if _kind(link.type, link.url)), key=rank)


def read(data: bytes, *, type: str | None = None, url: str = "") -> tuple[Segment, ...]:
    """Segments of a document in any of the five formats; its content counts more than its declared type.

    Raises ParseError for what is none of them, RefusedError for what is too large or carries no times.
    """
    text = documents.decode(data)
    head = text[:200].lstrip("\ufeff \t\n")
    kind = _kind(type, url)
    if head.startswith("WEBVTT"):
        kind = "vtt"
    elif head.startswith("{"):
        kind = "json"
    elif head.startswith("<?xml") or (head.startswith("<") and not _PAGE.search(text[:5000])):
        raise ParseError("The transcript is XML, not WebVTT, SRT, JSON, HTML or text")
    elif head.startswith("<"):
        kind = "html"
    elif _CAPTIONS.search(text[:20_000]):
        kind = "srt"
    elif kind not in ("text", "html"):
        kind = "srt" if kind == "srt" or type is None else "text"
    segments = _READERS[kind](text.lstrip("\ufeff \t\n") if kind == "vtt" else text)
    if len(segments) > documents.MAX_SEGMENTS:
        raise RefusedError(f"The transcript has more than {documents.MAX_SEGMENTS:,} segments")
    if any(len(segment.text) > documents.MAX_SEGMENT_CHARS for segment in segments):
        raise RefusedError(f"A segment of the transcript is longer than {documents.MAX_SEGMENT_CHARS:,} characters")
    return segments if kind in ("json", "html", "text") else _labelled(segments)


def tidied(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The same segments without raw entities and without the times that some publishers write into their text."""
    return tuple(replace(segment, text=cleaned(segment.text)) for segment in segments)


def check_copy(segments: Sequence[Segment], others: Sequence[tuple[int, Sequence[str]]]) -> None:
    """Refuse a transcript that another episode of the show has. `others` are episode ids and their sentences."""
    own = _fingerprints(segment.text for segment in segments)
    for episode_id, texts in others:
        shared = own & _fingerprints(texts)
        if len(own) >= _LEAST_PRINTS and len(shared) > _MAX_SHARED * len(own):
            raise RefusedError(
                "The publisher's transcript belongs to another episode",
                why=f"{len(shared) / len(own):.0%} of it stands in episode {episode_id}",
            )


def _fingerprints(texts: Iterable[str]) -> set[str]:
    """Runs of eight words, every fourth one by its text: the same whatever the captions' borders are."""
    words = re.findall(r"[^\W_]+", " ".join(texts).casefold())
    runs = (" ".join(words[n : n + 8]) for n in range(len(words) - 7))
    return {run for run in runs if zlib.crc32(run.encode()) % 4 == 0}


def check(segments: Sequence[Segment], duration_s: float, language: str | None = None) -> None:
    """Refuse a transcript that cannot belong to an audio of this length. Raises RefusedError with the reason."""
    spoken = check_times(segments)
    last = max(segment.end for segment in spoken)
    if last > duration_s * 1.01 + 5:
        raise RefusedError(
            "The publisher's transcript is longer than the audio",
            why=f"it runs to {last:.0f} s of {duration_s:.0f} s",
        )
    covered = _covered(spoken)
    if covered < _MIN_COVERAGE * duration_s:
        raise RefusedError(
            "The publisher's transcript covers too little of the audio",
            why=f"{covered:.0f} s of {duration_s:.0f} s, and at least {_MIN_COVERAGE:.0%} are needed",
        )
    _check_rate(spoken, covered, language)
    other = contradicts(" ".join(segment.text for segment in spoken), language)
    if other is not None:
        raise RefusedError("The publisher's transcript is in another language", why=other)


def check_times(segments: Sequence[Segment]) -> list[Segment]:
    """The segments that hold text. Raises RefusedError when there are none, or their times cannot be."""
    spoken = [segment for segment in segments if segment.text.strip()]
    if not spoken:
        raise RefusedError("The transcript is empty")
    high = 0.0
    for segment in spoken:
        if segment.start < 0 or segment.end < segment.start:
            raise RefusedError("The transcript has impossible times", why=_at(segment, "ends before it begins"))
        if segment.start < high - _BACKWARDS_S:
            raise RefusedError("The transcript is out of order", why=_at(segment, "begins before earlier text"))
        high = max(high, segment.start)
    return spoken


def _check_rate(spoken: Sequence[Segment], covered: float, language: str | None) -> None:
    rate = sum(_words(segment.text, language) for segment in spoken) / max(covered, 1.0)
    if not _MIN_WORDS_PER_S <= rate <= _MAX_WORDS_PER_S:
        raise RefusedError(
            "The publisher's transcript does not fit its times",
            why=f"nobody speaks {rate:.1f} words a second throughout",
        )
    long = [segment for segment in spoken if segment.end - segment.start >= 1.0]
    dense = sum(_words(segment.text, language) / (segment.end - segment.start) > _DENSE_WORDS_PER_S for segment in long)
    if dense > max(2, len(long) // 10):
        raise RefusedError(
            "The publisher's transcript does not fit its times",
            why=f"{dense} of {len(long)} captions hold more words than their time allows",
        )


def _covered(spoken: Sequence[Segment]) -> float:
    """Seconds from captions and the short pauses between them."""
    total, until = 0.0, None
    for segment in spoken:
        if until is None or segment.start > until + _BRIDGED_S:
            total += segment.end - segment.start
            until = segment.end
        elif segment.end > until:
            total += segment.end - until
            until = segment.end
    return total


def _labelled(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Speakers of `Name: text`, the form that the podcast namespace shows for SRT; a name holds until the next one.

    Only when the document begins with one and each is written more than once or in two words: a colon alone is no name.
    """
    if not segments or any(segment.speaker for segment in segments):
        return segments
    labels = [match.group(1) for segment in segments if (match := _LABEL.match(segment.text))]
    names = (
        {name for name in labels if (labels.count(name) > 1 or " " in name) and name.split()[0] not in _NOT_NAMES}
        if len(set(labels)) <= 100
        else set()
    )
    first = _LABEL.match(segments[0].text)
    if first is None or first.group(1) not in names or len(labels) < 2:
        return segments
    found, speaker = [], first.group(1)
    for segment in segments:
        match = _LABEL.match(segment.text)
        if match and match.group(1) in names:
            speaker = match.group(1)
            segment = replace(segment, text=segment.text[match.end() :])
        found.append(replace(segment, speaker=speaker))
    return tuple(found)


def _kind(type: str | None, url: str) -> str | None:
    declared = (type or "").partition(";")[0].strip().lower()
    if declared in _TYPES:
        return _TYPES[declared]
    suffix = urlsplit(url).path.rpartition(".")[2].lower()
    return suffix if suffix in _READERS and declared not in ("text/html", "text/plain") else None


def _primary(language: str | None) -> str | None:
    return re.split(r"[-_]", language.strip().lower())[0] or None if language else None


def _words(text: str, language: str | None) -> float:
    if _primary(language) in _NO_SPACES:
        return sum(not character.isspace() for character in text) / _CHARS_PER_WORD
    return len(text.split())


def _at(segment: Segment, what: str) -> str:
    return f"the caption at {segment.start:.1f} s {what}"
