"""Plain text and HTML transcripts, in the forms found in the wild, to segments: where a time stands, text begins.

    [00:01:02] Ann Lee: text          Ann Lee (01:02): text          **Ann Lee:** text \\[01:02\\] more text
    00:01:02 Ann Lee                  Ann Lee  01:02                 <cite>Ann Lee:</cite> <time>1:02</time> <p>text</p>
    text                              text

A text without times says what was said and not when: it is raised as UntimedError, with its paragraphs.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from itertools import pairwise

from pipeline.errors import ParseError
from pipeline.transcript.base import Segment, UntimedError

_CLOCK = r"(?:(\d{1,2}):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,3}))?"
_MARK = re.compile(
    rf"\\?[\[(]{_CLOCK}\\?[\])]"  # in brackets: anywhere
    rf"|^[ \t]*{_CLOCK}(?=[ \t]|$)"  # bare: where a line begins
    rf"|(?<=[ \t]){_CLOCK}[ \t]*(?::[ \t]*)?$",  # or ends
    re.MULTILINE,
)
_NAME = r"[A-Z][\w.'’-]{0,30}(?: [A-Z][\w.'’-]{0,30}){0,3}"
_SAID = re.compile(rf"^({_NAME}): +(?=\S)")
_ALONE = re.compile(rf"^({_NAME}):?$")
_BEFORE_TIME = re.compile(rf"(?:^|\n)[ \t*_#-]*({_NAME}):?[ \t*_]*$")
_MARKUP = re.compile(r"\*\*|__|^#+ |^[-–—•] ", re.MULTILINE)
_FEWEST = 3
_FURTHEST_S = 120.0
"""Times further apart than this on average say too little about the sentences between them."""
_WORDS_PER_S = 2.0
"""A passage lasts no longer than its words take at a slow pace, whenever the next time comes."""
_SKIPPED = {"script", "style", "head", "nav", "header", "footer", "form", "button", "noscript", "template", "svg"}
_BLOCKS = {
    "p",
    "div",
    "br",
    "li",
    "ul",
    "ol",
    "h1",
    "h2",
    "h3",
    "h4",
    "section",
    "article",
    "tr",
    "blockquote",
    "cite",
    "time",
    "dt",
    "dd",
}
_INLINE_TIME = re.compile(r"(?:(?<!\s)\s+)?\\?\[(?:\d{1,2}:)?\d{1,2}:\d{2}(?:\.\d{1,3})?\\?\]\s*")
_ENTITY = re.compile(
    r"&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|amp|lt|gt|quot|apos|nbsp|rsquo|lsquo|rdquo|ldquo|hellip|mdash|ndash);"
)


def read_html(text: str) -> tuple[Segment, ...]:
    """Segments of a page. Raises as `read_plain` does."""
    page = _Page()
    try:
        page.feed(_tamed(text))
        page.close()
    except (ValueError, AssertionError, RecursionError) as e:
        raise ParseError("The transcript is not HTML that can be read") from e
    return read_plain("".join(page.parts))


def read_plain(text: str) -> tuple[Segment, ...]:
    """Segments between the times of a text. Raises UntimedError when it has none, or too few."""
    body = _MARKUP.sub("", text.replace("\u00a0", " "))
    marks = list(_MARK.finditer(body))
    if len(marks) < _FEWEST:
        raise UntimedError(
            "The publisher's transcript carries no times",
            why="nothing says when a sentence was said",
            segments=_untimed(body),
        )
    times = [_seconds(match) for match in marks]
    if (times[-1] - times[0]) / (len(marks) - 1) > _FURTHEST_S:
        raise UntimedError(
            "The publisher's transcript has too few times",
            why=f"{len(marks)} of them in {times[-1]:.0f} s",
            segments=_untimed(_MARK.sub("", body)),
        )
    speaker: str | None = None
    found: list[Segment] = []
    ends = [*times[1:], None]
    for n, (match, start, until) in enumerate(zip(marks, times, ends, strict=True)):
        before = _BEFORE_TIME.search(body[max(0, match.start() - 200) : match.start()])
        if before is not None:
            speaker = before.group(1)
        stop = marks[n + 1].start() if n + 1 < len(marks) else len(body)
        chunk = body[match.end() : stop]
        if n + 1 < len(marks) and (following := _BEFORE_TIME.search(chunk)) is not None:
            chunk = chunk[: following.start()]
        spoken, speaker = _spoken(chunk, speaker)
        found += _timed(spoken, start, until)
    return tuple(found)


def cleaned(text: str) -> str:
    """A caption without the marks that publishers leave in it: raw entities, times in square brackets."""
    if _ENTITY.search(text):
        text = html.unescape(text)
    return _INLINE_TIME.sub(" ", text).strip() if "[" in text else text


def _spoken(chunk: str, speaker: str | None) -> tuple[list[tuple[str | None, str]], str | None]:
    """Speaker and text of the stretches of a chunk, and who speaks at its end."""
    spoken: list[tuple[str | None, str]] = []
    for line in (" ".join(line.split()).lstrip(":- –—") for line in chunk.split("\n")):
        if not line:
            continue
        if alone := _ALONE.match(line):
            speaker = alone.group(1)
            continue
        if said := _SAID.match(line):
            speaker, line = said.group(1), line[said.end() :]
        if spoken and spoken[-1][0] == speaker:
            spoken[-1] = (speaker, f"{spoken[-1][1]} {line}")
        else:
            spoken.append((speaker, line))
    return spoken, speaker


def _untimed(body: str) -> list[Segment]:
    """Paragraphs without times; a name holds until the next one."""
    return [Segment(0.0, 0.0, text, speaker) for speaker, text in _spoken(body, None)[0]]


def _timed(spoken: list[tuple[str | None, str]], start: float, until: float | None) -> list[Segment]:
    """Stretches share the time up to the next mark by their characters."""
    words = sum(len(text.split()) for _, text in spoken)
    end = start + words / _WORDS_PER_S
    if until is not None:
        end = min(end, max(until, start))
    total = sum(len(text) for _, text in spoken) or 1
    at = [0]
    for _, text in spoken:
        at.append(at[-1] + len(text))
    return [
        Segment(round(start + (end - start) * a / total, 3), round(start + (end - start) * b / total, 3), text, speaker)
        for (speaker, text), (a, b) in zip(spoken, pairwise(at), strict=True)
    ]


def _seconds(match: re.Match[str]) -> float:
    groups = match.groups()
    hours, minutes, seconds, fraction = next(
        (groups[n : n + 4] for n in (0, 4, 8) if groups[n + 1] is not None), ("0", "0", "0", None)
    )
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction or 0}")


_DECLARATION = re.compile(r"<[!?][^<>]*>")
_TAG = re.compile(r"""<(?P<tag>/?[a-zA-Z][\w:-]{0,40})(?:[\s/](?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+|[\s/][^<>]*+)?>|<""")


def _tamed(text: str) -> str:
    """The same page with bare tags, no comments, and no `<` that begins none.

    HTMLParser looks for the end of a tag, a comment or a declaration through the whole rest of the page, and again at
    the next `<`: 300 kB of tags that do not end took 82 CPU-seconds. Here each `<` looks as far as the next one.
    """
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[at:start])
        at = end + 3
    bare = _DECLARATION.sub("", "".join((*kept, text[at:])))
    return _TAG.sub(lambda m: f"<{m['tag']}>" if m["tag"] else "&lt;", bare)


class _Page(HTMLParser):
    """The text of a page's body, a line a block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _SKIPPED:
            self._skipping += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.parts.append(data.replace("\n", " "))
