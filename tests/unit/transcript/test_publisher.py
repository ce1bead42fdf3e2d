"""Readers of the three formats, the choice among links, and the check before use."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pipeline.errors import ParseError, RefusedError
from pipeline.records import TranscriptLink
from pipeline.transcript import publisher
from pipeline.transcript.base import Segment

SAMPLES = Path(__file__).resolve().parents[3] / "samples"


def test_demo_vtt_and_json_say_the_same() -> None:
    for episode in ("slow-software-02", "long-table-02"):
        vtt = publisher.read((SAMPLES / f"{episode}.vtt").read_bytes(), type="text/vtt")
        js = publisher.read((SAMPLES / f"{episode}.transcript.json").read_bytes(), type="application/json")
        assert vtt == js
        assert {segment.speaker for segment in vtt} <= {"Maya Lindgren", "Owen Tate", "Edwin Marsh", "Lena Calder"}


def test_vtt_drops_what_is_not_speech_and_keeps_voices() -> None:
    text = """\ufeffWEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE
00:00:09.000 is not a cue

REGION
id:one

intro
00:01.500 --> 00:03.000 align:start position:10%
<v.loud Maya Lindgren>Hello <i>there</i>, <00:02.000>Owen &amp; all</v>

1:00:00.000 --> 1:00:04.000
<v Maya>Four
words here now. <v Owen>Four words here now.

00:05.000 --> bad
not a cue
"""
    found = publisher.read(text.encode(), type="text/vtt")
    assert found[0] == Segment(1.5, 3.0, "Hello there, Owen & all", "Maya Lindgren")
    assert [(s.start, s.end, s.speaker) for s in found[1:]] == [(3600, 3602, "Maya"), (3602, 3604, "Owen")]
    assert found[1].text == "Four words here now."


SRT = """1
00:00:00,500 --> 00:00:02,000
<i>Grüße</i>, {\\an8}everyone.

2
00:00:02.500 --> 00:00:04.000
1984

was a year.
3
00:00:05,000 --> 00:00:06,000
99
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"])
def test_srt_in_every_encoding(encoding: str) -> None:
    for newline in ("\n", "\r\n"):
        found = publisher.read(SRT.replace("\n", newline).encode(encoding), url="https://x.test/a.srt")
        assert [(s.start, s.end, s.text) for s in found] == [
            (0.5, 2.0, "Grüße, everyone."),
            (2.5, 4.0, "1984 was a year. 3"),
            (5.0, 6.0, "99"),
        ]


def test_srt_without_blank_lines_keeps_numbers_out_of_the_text() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nOne.\n\n2\n00:00:02,000 --> 00:00:03,000\nTwo.\n"
    assert [s.text for s in publisher.read(text.encode())] == ["One.", "Two."]


def test_srt_names_before_a_colon_are_speakers_only_when_they_recur() -> None:
    def srt(*lines: str) -> bytes:
        return "\n\n".join(
            f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\n{line}" for n, line in enumerate(lines, 1)
        ).encode()

    found = publisher.read(srt("Adam Curry: Hello.", "Going on.", "Dave Jones: Hi.", "Adam Curry: Well."))
    assert [(s.speaker, s.text) for s in found] == [
        ("Adam Curry", "Hello."),
        ("Adam Curry", "Going on."),
        ("Dave Jones", "Hi."),
        ("Adam Curry", "Well."),
    ]
    for lines in (("Remember: stop.", "Remember: go."), ("Hello.", "Adam: hi.", "Adam: ho."), ("Adam: hi.", "Bye.")):
        assert [s.speaker for s in publisher.read(srt(*lines))] == [None] * len(lines)


def test_a_page_without_times_is_refused() -> None:
    with pytest.raises(RefusedError, match="carries no times"):
        publisher.read(b"<html>no</html>")


def test_a_page_with_what_trips_readers_of_pages() -> None:
    page = """<!doctype html><html><head><title>0:00 No</title></head><body><!-- 0:00 <p> no -->
    <p title="1 > 0" class='a"b'>0:01 If a<b, say so.</p><script>if (a < 1) { "<p>0:02 no</p>" }</script>
    <p class="open>0:03 An &amp; and a 3 < 4.</p><br/><cite>Ann Lee:</cite> <time>0:05</time>
    <p>Fine, then.</p ></body>"""
    found = publisher.read(page.encode())
    assert [(s.start, s.speaker, s.text) for s in found] == [
        (1.0, None, "If a<b, say so."),
        (3.0, None, "An & and a 3 < 4."),
        (5.0, "Ann Lee", "Fine, then."),
    ]


def test_json_that_is_escaped_as_if_it_were_html() -> None:
    entry = {"startTime": 0, "endTime": 2, "body": "you&#39;re &quot;in&quot; &amp;lt;b&gt;", "speaker": "A &amp; B"}
    read = publisher.read(json.dumps({"segments": [entry]}).encode())
    assert read == (Segment(0.0, 2.0, 'you\'re "in" &lt;b>', "A & B"),)


def test_json_of_words_without_end_times() -> None:
    document = {"segments": [{"startTime": "1.5", "body": "One"}, {"startTime": 2, "endTime": 2.5, "body": "two"}]}
    assert publisher.read(json.dumps(document).encode()) == (Segment(1.5, 2.0, "One"), Segment(2.0, 2.5, "two"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"just words",
        b"{",
        b"{}",
        b'{"segments": 3}',
        b'{"segments": [1]}',
        b'{"segments": [{"startTime": NaN, "body": "x"}]}',
        b'{"segments": [{"startTime": 1e999, "body": "x"}]}',
        b'{"segments": [{"startTime": true, "body": "x"}]}',
        b'{"segments": [{"startTime": 1, "body": null}]}',
        b'{"a":' * 100_000,
        b"\xff\xfe\x00",
        b"WEBVTT\0",
    ],
)
def test_what_is_no_transcript_is_a_parse_error(data: bytes) -> None:
    with pytest.raises(ParseError):
        publisher.read(data)


def test_hostile_documents_cost_little_time() -> None:
    begun = time.monotonic()
    cue = "WEBVTT\n\n00:00.000 --> 00:05.000\n"
    for body in ("<" * 100_000, "<" + "a" * 100_000, "." * 100_000, "<v " * 50_000):
        with pytest.raises(RefusedError):
            publisher.read((cue + body + "x" * 30_000).encode())
    with pytest.raises(RefusedError):
        publisher.read(b"x" * 20_000_001)
    assert time.monotonic() - begun < 5


def cues(count: int, *, text: str = "seven words are said in this caption", step: float = 3.0) -> list[Segment]:
    return [Segment(n * step, n * step + 2.8, text) for n in range(count)]


def test_a_fitting_transcript_passes() -> None:
    publisher.check(cues(20), 60.0, "en")
    publisher.check([Segment(0, 9, "今日は天気がいいから散歩しましょう")], 10.0, "ja-JP")


@pytest.mark.parametrize(
    ("segments", "duration_s", "reason"),
    [
        ([], 60.0, "empty"),
        ([Segment(0, 1, "  ")], 60.0, "empty"),
        (cues(20), 40.0, "longer than the audio"),
        (cues(10), 60.0, "covers too little"),
        ([*cues(2), *[Segment(590 + n, 591 + n, "late words") for n in range(5)]], 600.0, "covers too little"),
        (cues(20)[::-1], 60.0, "out of order"),
        ([Segment(5, 4, "back in time")], 5.0, "impossible times"),
        ([Segment(-5, 4, "before the start")], 5.0, "impossible times"),
        (cues(20, text="word " * 40), 60.0, "does not fit"),
        ([Segment(0, 60, "few words")], 60.0, "does not fit"),
        ([*cues(17), *[Segment(51 + n, 52 + n, "word " * 20) for n in range(9)]], 60.0, "does not fit"),
    ],
)
def test_a_transcript_that_cannot_be_right_is_refused(segments: list[Segment], duration_s: float, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        publisher.check(segments, duration_s, "en")


def test_links_are_ordered_by_language_then_format() -> None:
    def link(name: str, type: str | None, language: str | None = None, rel: str | None = None) -> TranscriptLink:
        return TranscriptLink(f"https://x.test/{name}", type, language, rel)

    links = [
        link("a", "text/html"),
        link("b", "application/x-subrip", "en-US"),
        link("c", "text/vtt", "en", "captions"),
        link("d", "application/json", "de"),
        link("e.json", None),
        link("f.srt?x=1", "application/octet-stream"),
        link("g.txt", "text/plain"),
    ]
    names = [entry.url.rpartition("/")[2] for entry in publisher.choose(links, "en-gb")]
    assert names == ["c", "b", "e.json", "f.srt?x=1", "a", "g.txt", "d"]
    assert [entry.url[-1] for entry in publisher.choose(links[:4], None)] == ["d", "c", "b", "a"]
