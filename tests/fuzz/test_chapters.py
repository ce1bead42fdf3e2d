"""Chapter documents at random."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ParseError
from pipeline.feed.chapters import MAX_CHAPTERS, MAX_TITLE, MAX_URL, read_chapters
from tests.fuzz.damage import NASTY, anything, in_time, quick, storable

SEED = json.dumps(
    {
        "version": "1.2.0",
        "chapters": [
            {"startTime": 0, "title": "Intro", "img": "https://e.org/i.png"},
            {"startTime": 61.5, "endTime": 90, "title": "Zwölf", "url": "/more", "toc": True, "location": {"geo": "x"}},
            {"startTime": "90", "title": "Last", "toc": False},
        ],
    },
    ensure_ascii=False,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(NASTY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("startTime", "title", "url", "img", "toc"), VALUES)) | VALUES
)


def check(body: bytes) -> None:
    with in_time():
        try:
            found = read_chapters(body, "https://e.org/c/")
        except ParseError:
            return
    assert len(found) <= MAX_CHAPTERS and list(found) == sorted(found, key=lambda c: c.start)
    for c in found:
        assert math.isfinite(c.start) and c.start >= 0 and 0 < len(c.title) <= MAX_TITLE and storable(c.title)
        for url in (c.url, c.image_url):
            assert url is None or (
                url.startswith(("http://", "https://")) and len(url) <= MAX_URL + 20 and storable(url)
            )


@quick()
@given(anything([SEED]))
def test_chapters_are_read_or_refused(body: bytes) -> None:
    check(body)


@quick()
@given(ENTRIES)
def test_any_values(entries: list[object]) -> None:
    check(json.dumps({"chapters": entries}).encode())
