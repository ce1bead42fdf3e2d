"""The days' figures, as `podsift stats` and the operator's page show them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection

from pipeline.store import day_figures

COLUMNS = (
    "day",
    "episodes",
    "failed",
    "audio_hours",
    "real_time_factor",
    "insights",
    "proof_rate",
    "gpu_s_an_insight",
    "tokens_an_insight",
    "mails",
)


def rows(conn: Connection, now: datetime, days: int) -> list[dict[str, Any]]:
    """The last so many days (UTC, today is one), newest first; days without anything are left out."""
    since = datetime.combine(now.astimezone(UTC).date() - timedelta(days=days - 1), time(), UTC)
    return [row(d) for d in day_figures.days(conn, since)]


def row(d: day_figures.Day) -> dict[str, Any]:
    """One day, rounded; None where there is nothing to divide."""
    return {
        "day": d.day,
        "episodes": d.episodes,
        "failed": d.failed,
        "audio_hours": round(d.audio_hours, 2),
        "whisper_hours": round(d.whisper_hours, 2),
        "real_time_factor": _rounded(d.real_time_factor, 3),
        "insights": d.insights,
        "dropped": d.dropped,
        "proof_rate": _rounded(d.proof_rate, 3),
        "gpu_s": round(d.gpu_s, 1),
        "gpu_s_an_insight": _rounded(d.gpu_s_an_insight, 2),
        "tokens": d.tokens,
        "tokens_an_insight": _rounded(d.tokens_an_insight, 0),
        "mails": d.mails,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits) if digits else round(value)
