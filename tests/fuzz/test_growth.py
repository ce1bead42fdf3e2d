"""Long documents of one repeated piece: time grows with the length, not with its square."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ParseError, RefusedError
from pipeline.feed.chapters import read_chapters
from pipeline.feed.discover import feed_links
from pipeline.feed.filters import Filters, why_not
from pipeline.feed.opml import read_opml
from pipeline.transcript.publisher import check, read
from tests.conftest import NOW
from tests.fakes.rows import parsed_episode
from tests.fuzz import test_chapters, test_opml, test_transcripts
from tests.fuzz.damage import NASTY, in_time, quick

SIZE = 300_000
TIMING = "00:00:00.000 --> 00:00:01.000\n"
PIECES = [
    "<v x>",
    "<i>",
    "\n\n",
    "\n",
    " ",
    "\n1\n",
    TIMING,
    TIMING + "x\n\n",
    "Ada: x\n",
    "<outline ",
    "&",
    "&#",
    "a b ",
]
SEEDS = [*test_transcripts.SEEDS, test_opml.OPML, test_opml.PAGE, test_chapters.SEED]


@st.composite
def repeated(draw: st.DrawFn) -> str:
    """The beginning of a seed, a piece of it or something nasty many times, and its end."""
    seed = draw(st.sampled_from(SEEDS))
    at = draw(st.integers(0, len(seed)))
    slices = st.integers(0, len(seed) - 1).flatmap(lambda k: st.integers(1, 60).map(lambda n: seed[k : k + n]))
    short = st.sampled_from([p for p in (*NASTY, *PIECES) if len(p) < 100])
    piece = "".join(draw(st.lists(slices | short | st.characters(), min_size=1, max_size=3)))
    end = seed[at:] if draw(st.booleans()) else ""
    return seed[:at] + piece * (SIZE // len(piece)) + end


def transcript(data: bytes) -> None:
    check(read(data, url="https://e.org/t.vtt"), 3600.0)


def title(data: bytes) -> None:
    for rule in ("/(a+)+$/", "/(\\w+\\s?)*$/", "/.*.*.*x/"):
        why_not(parsed_episode(1, NOW, title=data.decode("utf-8", "replace")), Filters(exclude=(rule,)))


READERS: dict[str, Callable[[bytes], object]] = {
    "transcript": transcript,
    "opml": read_opml,
    "chapters": read_chapters,
    "page": lambda data: feed_links(data, "https://e.org/"),
    "title": title,
}


@pytest.mark.parametrize("name", READERS)
@quick()
@given(text=repeated())
def test_time_grows_with_the_length(name: str, text: str) -> None:
    # A square of this length takes minutes; the slowest seen takes less than 1 s.
    with in_time(6.0), suppress(ParseError, RefusedError):
        READERS[name](text.encode("utf-8", "replace"))


UNENDED = [
    "<LINK REL=alte\ufeff\n",
    '<link rel="alternate" type="a',
    "<a b='",
    "<a b=",
    "<!--",
    "<![CDATA[",
    "</a ",
    "<script></",
]
"""The first two were found by this fuzzing: Python's own reader of pages took 82 and 22 s for 300 kB of them."""


@pytest.mark.parametrize("piece", UNENDED)
def test_a_page_of_tags_that_do_not_end(piece: str) -> None:
    text = "<html><body><p>1:00 One.</p>" + piece * (SIZE // len(piece))
    with in_time(), suppress(ParseError, RefusedError):
        transcript(text.encode())


@pytest.mark.parametrize("blank", ["\n", " ", "\t", "\r"])
def test_nothing_but_blanks(blank: str) -> None:
    for text in (blank * SIZE, f"0:01 a\n0:02{blank * SIZE}x[\n0:03 [b", f"1\n0:01 --> 0:02{blank * SIZE}x"):
        with in_time(), suppress(ParseError, RefusedError):
            transcript(text.encode())
