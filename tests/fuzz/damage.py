"""Documents with damage: seeds that are cut, doubled, shuffled and filled with what readers trip over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
"""A short run; FUZZ_EXAMPLES=20000 is a long one."""
LONG = 3000
CPU_S = 3.0
"""For a document of some kilobytes. An honest one takes milliseconds; the machine may be busy."""

NASTY = [
    *(
        "\0",
        "\ufeff",
        "\ud800",
        "\u2028",
        "\r",
        "\x85",
        "\U0010ffff",
        "²",
        "٣",
        "\n\n",
        "'",
        '"',
        "=",
        "<",
        ">",
        "</",
        "/>",
    ),
    *(
        "&#0;",
        "&#xD800;",
        "&#x110000;",
        "&amp;amp;",
        "&nbsp;",
        "&a;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?x",
        "?>",
        "<![",
    ),
    *("<!DOCTYPE x [<!ENTITY a 'b'>]>", "xmlns:podcast='x'", "http://[", "http://[::1", "//", "file:///etc/passwd"),
    *("1e400", "-1", "-0", "NaN", "Infinity", "1" * 400, "00:00:00.000 --> 99:99:99.999", "-->", "0000-00-00"),
    *("9999-12-31T23:59:59-14:00", "Thu, 31 Dec 9999 23:59:59 -1400"),
    *("a" * 5000, "<a>" * 300, "[" * 3000, "{" * 3000, '{"a":' * 2000, "\n" * 2000, "{\\" * 500, "<v " * 500),
]
ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]


def quick(n: int = EXAMPLES) -> Callable[[Any], Any]:
    """Settings of a fuzzing test: our own clock says what is too slow.

    The short form tries the same examples each time, so that a change fails by what it did; the long one looks further.
    """
    unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large]
    same = n <= EXAMPLES
    return settings(max_examples=n, deadline=None, suppress_health_check=unhurried, derandomize=same)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[str]) -> bytes:
    """One of the seeds with up to six cuts, copies and insertions, in some encoding."""
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 80)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            text = text[:at] + text[end:]
        elif kind == 1:
            text = text[:end] + text[at:end] * draw(st.sampled_from([1, 2, 40])) + text[end:]
        else:
            text = text[:at] + draw(st.sampled_from(NASTY) | st.text(max_size=8)) + text[end if kind == 2 else at :]
    encoding = draw(st.sampled_from(ENCODINGS))
    data = text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=6)) + data[at + draw(st.integers(0, 6)) :]
    return data


def anything(seeds: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Mostly damaged documents, some plain noise."""
    return damaged(seeds) | damaged(seeds) | damaged(seeds) | st.binary(max_size=300)


@contextmanager
def in_time(limit_s: float = CPU_S) -> Iterator[None]:
    """Fails when the block takes more CPU than this."""
    began = time.process_time()
    yield
    assert time.process_time() - began < limit_s


def storable(text: str | None) -> bool:
    """What both databases take: no NUL, no lone surrogate."""
    return text is None or ("\0" not in text and text.encode("utf-8", "replace").decode() == text)
