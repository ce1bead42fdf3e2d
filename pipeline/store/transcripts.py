"""Transcripts and their sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from pipeline.errors import NotFoundError
from pipeline.records import Sentence, Transcript
from pipeline.store import blocks
from pipeline.store.tables import episode, sentence, transcript

REMEMBERED = 6
"""Episodes of a show whose windows are kept, to find what a show says again and again (60 kB for an hour)."""


def save(conn: Connection, episode_id: int, t: Transcript, now: datetime, windows: bytes | None = None) -> None:
    """Store a transcript, in place of one that a run before this left; `windows` are `transcript.repeat`'s."""
    conn.execute(delete(transcript).where(transcript.c.episode_id == episode_id))
    row = {
        "episode_id": episode_id,
        "source": t.source,
        "model": t.model,
        "language": t.language,
        "duration_s": t.duration_s,
        "audio_sha256": t.audio_sha256,
        "missing_speech_s": t.missing_speech_s,
        "redone_s": t.redone_s,
        "quality": t.quality,
        "made_at": now,
        "confidence": t.confidence,
        "poor": t.poor,
        "windows": windows,
    }
    made = conn.execute(insert(transcript).values(**row).returning(transcript.c.id)).scalar_one()
    if t.sentences:
        conn.execute(
            insert(sentence),
            [
                {
                    "transcript_id": made,
                    "number": s.number,
                    "start": s.start,
                    "end": s.end,
                    "text": s.text,
                    "speaker": s.speaker,
                    "mark": s.mark,
                    "reason": s.reason,
                }
                for s in t.sentences
            ],
        )
        blocks.save(conn, made, t.sentences)
    _forget(conn, episode_id)


def load(conn: Connection, episode_id: int) -> Transcript:
    """An episode's transcript. Raises NotFoundError."""
    t = conn.execute(select(transcript).where(transcript.c.episode_id == episode_id)).first()
    if t is None:
        raise NotFoundError(
            f"Episode {episode_id} has no transcript yet", hint="podsift episode show says at which stage it is"
        )
    return Transcript(
        language=t.language,
        duration_s=t.duration_s,
        sentences=_sentences(conn, t.id),
        source=t.source,
        model=t.model,
        audio_sha256=t.audio_sha256,
        missing_speech_s=t.missing_speech_s,
        redone_s=t.redone_s,
        quality=t.quality,
        confidence=t.confidence,
        poor=t.poor,
    )


def siblings(conn: Connection, episode_id: int) -> list[tuple[int, bytes]]:
    """Episode id and windows of the same show's remembered transcripts, newest first, without this episode's own."""
    return [
        (r.episode_id, r.windows) for r in conn.execute(_remembered(conn, episode_id)) if r.episode_id != episode_id
    ]


def texts_of_show(conn: Connection, episode_id: int, limit: int = 20) -> list[tuple[int, list[str]]]:
    """Episode id and sentence texts of the same show's newest other transcripts."""
    query = (
        select(transcript.c.episode_id, transcript.c.id)
        .join(episode, episode.c.id == transcript.c.episode_id)
        .where(episode.c.feed_id == _feed(conn, episode_id), episode.c.id != episode_id)
        .order_by(episode.c.published.desc(), episode.c.id.desc())
        .limit(limit)
    )
    return [(r.episode_id, [s.text for s in _sentences(conn, r.id)]) for r in conn.execute(query).all()]


def _sentences(conn: Connection, transcript_id: int) -> tuple[Sentence, ...]:
    rows: Sequence[Sentence] = [
        Sentence(r.number, r.start, r.end, r.text, r.speaker, r.mark, reason=r.reason)
        for r in conn.execute(
            select(sentence).where(sentence.c.transcript_id == transcript_id).order_by(sentence.c.number)
        )
    ]
    return tuple(rows)


def _feed(conn: Connection, episode_id: int) -> int | None:
    return conn.execute(select(episode.c.feed_id).where(episode.c.id == episode_id)).scalar()


def _remembered(conn: Connection, episode_id: int):  # type: ignore[no-untyped-def]
    return (
        select(transcript.c.id, transcript.c.episode_id, transcript.c.windows)
        .join(episode, episode.c.id == transcript.c.episode_id)
        .where(episode.c.feed_id == _feed(conn, episode_id), transcript.c.windows.is_not(None))
        .order_by(transcript.c.made_at.desc(), transcript.c.id.desc())
    )


def _forget(conn: Connection, episode_id: int) -> None:
    """Drop the windows of all but the newest transcripts of this episode's show."""
    old = [r.id for r in conn.execute(_remembered(conn, episode_id))][REMEMBERED:]
    if old:
        conn.execute(update(transcript).where(transcript.c.id.in_(old)).values(windows=None))
