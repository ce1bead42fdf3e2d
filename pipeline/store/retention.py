"""Deleting what is older than the settings keep: counted first, deleted in small transactions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, or_, select, update

from pipeline.store import episodes
from pipeline.store.tables import (
    block,
    bounce,
    episode,
    feed_poll,
    insight_drop,
    llm_call,
    outbox,
    outbox_message,
    sentence,
    stage_run,
    transcript,
)

BATCH = 5000
"""Rows a transaction: a writer on SQLite waits for no longer than that."""
RECORDS: dict[str, tuple[Table, Any]] = {
    "polls": (feed_poll, feed_poll.c.at),
    "model calls": (llm_call, llm_call.c.at),
    "dropped candidates": (insight_drop, insight_drop.c.at),
    "stage runs": (stage_run, stage_run.c.at),
    "bounces": (bounce, bounce.c.at),
}
"""What only tells how things went; nothing that is sent depends on it."""
_OVER = ("sent", "failed", "suppressed")


def old_records(name: str, before: datetime) -> ColumnElement[bool]:
    """Which rows of a table of records are older."""
    return RECORDS[name][1] < before  # type: ignore[no-any-return]


def old_mails(before: datetime) -> ColumnElement[bool]:
    """Mails that are over and whose bytes are there still. What became of them stays."""
    there = exists().where(outbox_message.c.outbox_id == outbox.c.id, func.length(outbox_message.c.message) > 0)
    return and_(outbox.c.state.in_(_OVER), outbox.c.changed_at < before, there)


def old_transcripts(before: datetime) -> ColumnElement[bool]:
    """Transcripts with sentences, of episodes that need them no more. Insights keep their quotes."""
    through = exists().where(episode.c.id == transcript.c.episode_id, episode.c.stage.not_in(episodes.WAITING))
    has = or_(
        exists().where(sentence.c.transcript_id == transcript.c.id),
        exists().where(block.c.transcript_id == transcript.c.id),
    )
    return and_(transcript.c.made_at < before, through, has)


def old_audio(before: datetime) -> ColumnElement[bool]:
    """Episodes whose kept audio (audio.keep) was stored longer ago; nothing reads it any more."""
    heard = exists().where(transcript.c.episode_id == episode.c.id, transcript.c.made_at < before)
    return and_(episode.c.audio_path.is_not(None), episode.c.stage.not_in(("download", "transcribe")), heard)


def count(conn: Connection, table: Table, where: ColumnElement[bool]) -> int:
    """How many rows there are."""
    return int(conn.execute(select(func.count()).select_from(table).where(where)).scalar_one())


def drop_records(conn: Connection, name: str, before: datetime) -> int:
    """Delete up to BATCH of them; returns how many."""
    table, _ = RECORDS[name]
    ids = select(table.c.id).where(old_records(name, before)).order_by(table.c.id).limit(BATCH)
    return conn.execute(delete(table).where(table.c.id.in_(ids.scalar_subquery()))).rowcount


def empty_mails(conn: Connection, before: datetime) -> int:
    """Forget the bytes of up to BATCH mails; returns of how many."""
    ids = select(outbox.c.id).where(old_mails(before)).order_by(outbox.c.id).limit(BATCH)
    theirs = update(outbox_message).where(outbox_message.c.outbox_id.in_(ids.scalar_subquery()))
    return conn.execute(theirs.values(message=b"")).rowcount


def drop_transcripts(conn: Connection, before: datetime, limit: int = 50) -> int:
    """Delete the sentences of up to `limit` transcripts; that there was one, and how good, stays. Returns how many."""
    ids = list(conn.execute(select(transcript.c.id).where(old_transcripts(before)).limit(limit)).scalars())
    if ids:
        conn.execute(delete(block).where(block.c.transcript_id.in_(ids)))
        conn.execute(delete(sentence).where(sentence.c.transcript_id.in_(ids)))
    return len(ids)


def forget_audio(conn: Connection, before: datetime) -> int:
    """Say of kept audio that nobody needs it; the files go with the next sweep of the machine that has them."""
    ids = list(conn.execute(select(episode.c.id).where(old_audio(before)).limit(BATCH)).scalars())
    if ids:
        conn.execute(update(episode).where(episode.c.id.in_(ids)).values(audio_path=None))
    return len(ids)
