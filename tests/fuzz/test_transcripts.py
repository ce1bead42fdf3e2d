"""Transcripts at random, in each format and read as each other."""

from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ParseError, RefusedError
from pipeline.transcript.publisher import check, read
from tests.fuzz.damage import LONG, anything, in_time, quick

VTT = """WEBVTT - title

STYLE
::cue { color: red }

NOTE a note

1
00:00:00.000 --> 00:00:04.500 align:start
<v.loud Ada Lovelace>Hello &amp; <i>welcome</i>.</v> <v Bob>Thanks.

00:04.500 --> 01:02:03.999
And so on.
"""
SRT = """1
00:00:00,000 --> 00:00:04,500
Ada Lovelace: Hello <i>there</i>.

2
00:00:04.500 --> 00:00:09,000
Bob Miller: Yes.
{\\an8}Really.
"""
JSON = json.dumps(
    {
        "version": "1.0.0",
        "segments": [
            {"speaker": "Ada", "startTime": 0.5, "endTime": 4, "body": "Hello"},
            {"startTime": "4", "body": "there, with ümlauts"},
        ],
    }
)
SEEDS = [VTT, SRT, JSON]
TYPES = st.sampled_from([None, "text/vtt", "application/srt", "application/json", "text/plain", "text/html", "\0"])


def check_reader(data: bytes, kind: str | None) -> None:
    with in_time():
        try:
            found = read(data, type=kind, url="https://e.org/t")
        except (ParseError, RefusedError):
            return
        for s in found:
            assert math.isfinite(s.start) and math.isfinite(s.end) and "\0" not in s.text
            assert s.speaker is None or s.speaker == s.speaker.strip() != ""
        with suppress(RefusedError):
            check(found, 10.0, "en")


@quick()
@given(anything(SEEDS), TYPES)
def test_a_transcript_is_read_or_refused(data: bytes, kind: str | None) -> None:
    check_reader(data, kind)


@pytest.mark.slow
@quick(LONG)
@given(anything(SEEDS), TYPES)
def test_a_transcript_is_read_or_refused_at_length(data: bytes, kind: str | None) -> None:
    check_reader(data, kind)
