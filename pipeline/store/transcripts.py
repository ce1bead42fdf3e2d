"""Transcripts and their sentences."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from pipeline.errors import NotFoundError
from pipeline.records import Sentence, Transcript
from pipeline.store.tables import sentence, transcript


def save(conn: Connection, episode_id: int, t: Transcript, now: datetime) -> None:
    """Store a transcript, in place of one that a run before this left."""
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
                }
                for s in t.sentences
            ],
        )


def load(conn: Connection, episode_id: int) -> Transcript:
    """An episode's transcript. Raises NotFoundError."""
    t = conn.execute(select(transcript).where(transcript.c.episode_id == episode_id)).first()
    if t is None:
        raise NotFoundError(
            f"Episode {episode_id} has no transcript yet", hint="podsift episode show says at which stage it is"
        )
    rows = conn.execute(select(sentence).where(sentence.c.transcript_id == t.id).order_by(sentence.c.number))
    return Transcript(
        language=t.language,
        duration_s=t.duration_s,
        sentences=tuple(Sentence(r.number, r.start, r.end, r.text, r.speaker, r.mark) for r in rows),
        source=t.source,
        model=t.model,
        audio_sha256=t.audio_sha256,
        missing_speech_s=t.missing_speech_s,
        redone_s=t.redone_s,
        quality=t.quality,
    )
