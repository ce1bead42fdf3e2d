"""The feed parser and what it reads of dates and durations."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import ParseError
from pipeline.feed.parse import feed_json, parse
from pipeline.feed.values import parse_date, parse_duration
from pipeline.records import ParsedFeed
from tests.fuzz.damage import LONG, NASTY, anything, in_time, quick, storable

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
 xmlns:podcast="https://podcastindex.org/namespace/1.0" xmlns:psc="http://podlove.org/simple-chapters"
 xmlns:media="http://search.yahoo.com/mrss/" xmlns:atom="http://www.w3.org/2005/Atom">
<channel><title>Slow &amp; Software</title><link>https://e.org/</link><ttl>60</ttl><language>en</language>
<atom:link rel="next" href="?page=2"/><itunes:new-feed-url>https://e.org/new</itunes:new-feed-url>
<podcast:guid>917393e3-1b1e-5cef-ace4-edaa54e1f810</podcast:guid><podcast:person role="host">Ada</podcast:person>
<podcast:liveItem status="live"><title>Live</title><enclosure url="l.mp3" type="audio/mpeg"/></podcast:liveItem>
<item><title><![CDATA[One <b>bold</b>]]></title><guid isPermaLink="false">g1</guid>
<pubDate>Thu, 19 Nov 2026 08:00:00 GMT</pubDate>
<enclosure url="a.mp3?x=1&amp;y=2" type="audio/mpeg" length="123"/><itunes:duration>01:02:03</itunes:duration>
<itunes:explicit>no</itunes:explicit><itunes:season>1</itunes:season><itunes:image href="i.png"/>
<podcast:transcript url="t.vtt" type="text/vtt" language="en"/>
<podcast:chapters url="c.json" type="application/json+chapters"/>
<podcast:person role="guest" href="https://b.org">Bob</podcast:person>
<podcast:soundbite startTime="73.0" duration="60">Bite</podcast:soundbite>
<psc:chapters version="1.2"><psc:chapter start="00:01:02.500" title="Begin" href="x"/></psc:chapters>
<description>&lt;p&gt;Text&lt;/p&gt;</description></item>
<item><title>Two</title><link>https://e.org/2</link><pubDate>2026-11-18T08:00:00+01:00</pubDate>
<media:content url="b.m4a" type="audio/x-m4a"/><enclosure url="b.m4a" length="-1"/></item></channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de" xml:base="https://e.org/a/">
<title type="html">Titel</title><id>urn:x</id><link rel="next" href="2"/><updated>2026-11-19T08:00:00Z</updated>
<entry><title>Eins</title><id>urn:1</id><updated>2026-11-19T08:00:00Z</updated>
<link rel="enclosure" type="audio/ogg" href="a.ogg" length="9"/><summary>S</summary></entry></feed>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
<channel><title>R</title></channel><item><title>x</title><link>y</link></item></rdf:RDF>"""
SEEDS = [RSS, RSS, ATOM, RDF]


def check(body: bytes) -> None:
    with in_time():
        try:
            found = parse(body, "https://e.org/feed/")
        except ParseError:
            return
    check_records(found)
    feed_json(found)


def check_records(found: ParsedFeed) -> None:
    assert storable(found.title) and storable(found.new_feed_url) and storable(found.podcast_guid)
    for e in found.episodes:
        assert e.enclosure_url
        texts = [e.guid, e.title, e.link, e.description, e.enclosure_url, e.enclosure_type, e.image_url, e.chapters_url]
        texts += [v for t in e.transcripts for v in (t.url, t.type, t.language, t.rel)]
        texts += [v for p in (*e.persons, *found.persons) for v in (p.name, p.role, p.href, p.group, p.img)]
        texts += [v for c in e.chapters for v in (c.title, c.url, c.image_url)] + [s.title for s in e.soundbites]
        assert all(storable(t) for t in texts)
        assert e.published is None or e.published.tzinfo is UTC
        times = [e.duration_s, *(c.start for c in e.chapters), *(s.start for s in e.soundbites)]
        assert all(t is None or (math.isfinite(t) and t >= 0) for t in times)


@quick()
@given(anything(SEEDS))
def test_a_feed_is_read_or_refused(body: bytes) -> None:
    check(body)


@pytest.mark.slow
@quick(LONG)
@given(anything(SEEDS))
def test_a_feed_is_read_or_refused_at_length(body: bytes) -> None:
    check(body)


NUMBERS = st.sampled_from(NASTY) | st.text(max_size=30) | st.from_regex(r"\d{1,3}:\d{1,3}(:\d{1,4}(\.\d{0,9})?)?")


@quick(1000)
@given(NUMBERS)
@example("9" * 10_000)
@example("²:³")
@example("٣:٤")
@example("1:" * 5000)
def test_durations(text: str) -> None:
    with in_time(0.5):
        found = parse_duration(text)
    assert found is None or (math.isfinite(found) and found >= 0)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_durations_that_are_right(hours: int, minutes: int, seconds: int) -> None:
    total = hours * 3600 + minutes * 60 + seconds
    assert parse_duration(f"{hours}:{minutes:02}:{seconds:02}") == parse_duration(f" {total} ") == total


RFC = r"([A-Za-z]{3},? )?\d{1,2} [A-Z][a-z]{2} \d{2,4} \d{1,2}:\d{2}(:\d{2})?( ([+-]\d{4}|[A-Z]{1,4}))?"
ISO = r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?"
DATES = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=60), st.from_regex(RFC, fullmatch=True), st.from_regex(ISO, fullmatch=True)
)


@quick(2000)
@given(DATES)
@example("Thu, 31 Dec 9999 23:59:59 -1400")
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:59-14:00")
@example("1 Jan 0000 00:00:00 GMT")
@example("2026-W01-1")
@example("Mon, " + "1 " * 5000)
@example("(" * 5000)
def test_dates(text: str) -> None:
    with in_time(0.5):
        found = parse_date(text)
    assert found is None or found.tzinfo is UTC


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_dates_that_are_right(at: datetime, offset: int) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    local = at + timedelta(minutes=offset)
    sign, minutes = "+-"[offset < 0], abs(offset)
    zone = f"{sign}{minutes // 60:02}{minutes % 60:02}"
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][local.month - 1]
    assert parse_date(f"Xyz, {local.day} {month} {local.year} {local:%H:%M:%S} {zone}") == at
    assert parse_date(f"{local:%Y-%m-%dT%H:%M:%S}{zone[:3]}:{zone[3:]}") == at
