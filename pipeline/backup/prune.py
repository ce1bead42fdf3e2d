"""What the retention settings say is to go. Insights, digests, what each subscriber has had, and people never go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from pipeline.audio import retain
from pipeline.settings import RetentionSettings
from pipeline.store import episodes, retention
from pipeline.store.database import Database
from pipeline.store.tables import episode, outbox, transcript

FRESH = timedelta(hours=1)
"""A file that was touched since may belong to a download that began after the database was asked."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that is pruned: how many there are older than its limit, and deleting a part of them."""

    name: str
    days: int
    count: Callable[[Connection], int]
    drop: Callable[[Connection], int]


def chores(kept: RetentionSettings, now: datetime) -> list[Chore]:
    """What has a limit, oldest promise first. A limit of 0 days keeps for ever."""
    found: list[Chore] = []
    if kept.audio_days:
        at = now - timedelta(days=kept.audio_days)
        counted = partial(retention.count, table=episode, where=retention.old_audio(at))
        found.append(Chore("audio files", kept.audio_days, counted, partial(retention.forget_audio, before=at)))
    if kept.transcript_days:
        at = now - timedelta(days=kept.transcript_days)
        counted = partial(retention.count, table=transcript, where=retention.old_transcripts(at))
        found.append(
            Chore("transcripts", kept.transcript_days, counted, partial(retention.drop_transcripts, before=at))
        )
    if kept.mail_days:
        at = now - timedelta(days=kept.mail_days)
        counted = partial(retention.count, table=outbox, where=retention.old_mails(at))
        found.append(Chore("mail bodies", kept.mail_days, counted, partial(retention.empty_mails, before=at)))
    if kept.record_days:
        at = now - timedelta(days=kept.record_days)
        for name, (table, _) in retention.RECORDS.items():
            counted = partial(retention.count, table=table, where=retention.old_records(name, at))
            drop = partial(retention.drop_records, name=name, before=at)
            found.append(Chore(name, kept.record_days, counted, drop))
    return found


def due(db: Database, kept: RetentionSettings, now: datetime) -> dict[str, int]:
    """How many of each would go. Changes nothing."""
    with db.begin(reads=True) as conn:
        return {c.name: c.count(conn) for c in chores(kept, now)}


def prune(db: Database, kept: RetentionSettings, now: datetime, audio: Path | None = None) -> dict[str, int]:
    """Delete what is due, a small transaction at a time; `audio` is this machine's folder. How many of each went."""
    gone: dict[str, int] = {}
    for chore in chores(kept, now):
        gone[chore.name] = 0
        while True:
            with db.begin() as conn:
                n = chore.drop(conn)
            gone[chore.name] += n
            if not n:
                break
    if audio is not None:
        with db.begin() as conn:
            wanted = episodes.audio_wanted(conn)
        gone["left audio files"] = retain.sweep(audio, wanted, older_than=now - FRESH)
    return gone
