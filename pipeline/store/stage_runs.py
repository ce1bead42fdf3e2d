"""How long each stage took of each episode."""

from __future__ import annotations

import socket
from datetime import datetime

from sqlalchemy import Connection, func, insert, or_, select

from pipeline.store.episodes import WAITING
from pipeline.store.tables import episode, stage_run

_HOST = socket.gethostname()[:200]


def add(
    conn: Connection,
    episode_id: int,
    stage: str,
    at: datetime,
    seconds: float,
    outcome: str,
    audio_s: float | None = None,
    gpu: bool = False,
) -> None:
    """Leave a row, in the transaction that moves the episode."""
    conn.execute(
        insert(stage_run).values(
            episode_id=episode_id,
            stage=stage,
            at=at,
            seconds=seconds,
            outcome=outcome,
            audio_s=audio_s,
            gpu=gpu,
            host=_HOST,
        )
    )


def stuck(conn: Connection, since: datetime) -> list[int]:
    """Fresh episodes that could have gone on since then and that nothing took up, or whose step has not ended since."""
    last = select(func.max(stage_run.c.at)).where(stage_run.c.episode_id == episode.c.id).scalar_subquery()
    query = (
        select(episode.c.id)
        .where(
            episode.c.stage.in_(WAITING),
            ~episode.c.backfill,
            func.coalesce(episode.c.retry_at, episode.c.seen_at) < since,
            or_(last.is_(None), last < since),
        )
        .order_by(episode.c.id)
    )
    return list(conn.execute(query).scalars())
