"""Dates and durations as feeds write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import iso_z
from pipeline.feed.values import parse_date, parse_duration


@pytest.mark.parametrize(
    ("raw", "utc"),
    [
        ("Thu, 28 Sep 2023 16:20:00 -0500", "2023-09-28T21:20:00Z"),
        ("Blursday, 28 Sep 2023 16:20:00 -0000", "2023-09-28T16:20:00Z"),
        ("28 September 2023 16:20 CEST", "2023-09-28T14:20:00Z"),
        ("Mon, 03 Jan 2011 012:31:50 CST", "2011-01-03T18:31:50Z"),
        ("2021-11-03T08:00:00Z", "2021-11-03T08:00:00Z"),
        ("2021-11-03T08:00:00+02:00", "2021-11-03T06:00:00Z"),
        ("1 Jan 70 00:00:00 GMT", "1970-01-01T00:00:00Z"),
        ("Sat, 07 Mar 2009 24:28:20 CST", None),
        ("Sun, 28 Apr 2013 15:12:352 CST", None),
        ("Sun, 28 Apr 2013 15:12:35 +3000", None),
        ("1384333333", None),
        ("", None),
        (None, None),
    ],
)
def test_dates(raw: str | None, utc: str | None) -> None:
    assert iso_z(parse_date(raw)) == utc


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [("90", 90.0), ("1.5", 1.5), ("2:05", 125.0), ("1:02:03", 3723.0), ("about an hour", None), ("1:2:3:4", None)],
)
def test_durations(raw: str, seconds: float | None) -> None:
    assert parse_duration(raw) == seconds


@given(st.text(max_size=60))
def test_nothing_breaks_them(raw: str) -> None:
    parse_date(raw)
    parse_duration(raw)
