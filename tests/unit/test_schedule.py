"""One digest a local day, also where the clock is moved."""

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.schedule import local_date, next_digest

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia",
    "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Chatham", "America/Sao_Paulo", "Asia/Tehran",
]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", [2, 7, 23])
def test_a_year_has_one_digest_a_local_day(zone: str, hour: int) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    last: str | None = None
    days: list[date] = []
    for _ in range(366):
        at = next_digest(now, hour, 0, zone, last)
        assert at >= now
        day = local_date(at, zone)
        days.append(day)
        now, last = at + timedelta(minutes=1), day.isoformat()
    assert days == [days[0] + timedelta(days=k) for k in range(366)]


def test_a_long_stop_is_made_up_for_by_one_digest() -> None:
    now = datetime(2026, 5, 10, 12, tzinfo=UTC)
    assert next_digest(now, 7, 0, "UTC", "2026-05-01") == datetime(2026, 5, 10, 7, tzinfo=UTC)
