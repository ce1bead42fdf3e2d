"""How long each stage took of each episode."""

from __future__ import annotations

import socket
from datetime import datetime

from sqlalchemy import Connection, insert

from pipeline.store.tables import stage_run

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
