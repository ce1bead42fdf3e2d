"""What waits for the GPU, how fast it has been, and when the next digest is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy import Connection, func, or_, select

from pipeline.store.tables import episode, stage_run, subscriber

UNKNOWN_S = 3600.0
"""Of audio, where nobody says how long it is."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """`audio_s` of each episode that may be heard now, in its order; how many may be written; seconds to the digest."""

    audio_s: tuple[float, ...]
    heard: int
    deadline_s: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians; None where nothing was done yet."""

    hear: float | None
    write_s: float | None


def waiting(conn: Connection, now: datetime) -> Backlog:
    """What may run now."""
    free = or_(episode.c.retry_at.is_(None), episode.c.retry_at <= now)
    length = func.coalesce(episode.c.audio_s, episode.c.duration_s, UNKNOWN_S)
    query = select(length).where(episode.c.stage == "transcribe", free)
    order = (episode.c.backfill, episode.c.published.desc(), episode.c.id)
    audio = tuple(float(s) for s in conn.execute(query.order_by(*order)).scalars())
    count = select(func.count()).select_from(episode).where(episode.c.stage.in_(("extract", "relate")), free)
    due = func.min(subscriber.c.next_digest_at, type_=subscriber.c.next_digest_at.type)
    at = conn.execute(select(due).where(subscriber.c.state == "active", subscriber.c.next_digest_at > now)).scalar()
    return Backlog(audio, int(conn.execute(count).scalar_one()), (at - now).total_seconds() if at else None)


def pace(conn: Connection, since: datetime) -> Measured:
    """How long hearing takes for a second of audio, and writing for an episode, in the runs since then."""
    query = select(stage_run.c.stage, stage_run.c.seconds, stage_run.c.audio_s).where(
        stage_run.c.at >= since, stage_run.c.outcome == "done", stage_run.c.gpu
    )
    heard: list[float] = []
    written: list[float] = []
    for stage, seconds, audio_s in conn.execute(query.order_by(stage_run.c.id.desc()).limit(500)):
        if stage == "transcribe" and audio_s:
            heard.append(seconds / audio_s)
        elif stage == "extract":
            written.append(seconds)
    return Measured(median(heard) if heard else None, median(written) if written else None)
