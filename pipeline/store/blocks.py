"""Runs of sentences of a transcript, as search looks through them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from pipeline.records import Sentence
from pipeline.store.tables import block, sentence, transcript

WORDS = 60
"""A block ends with the sentence that reaches this many words: two words of one thought are mostly within it."""
UNSEARCHED = ("sponsor", "unheard")
"""Marks of sentences that nobody looks for."""
_BATCH = 20


def blocks_of(sentences: Sequence[Sentence]) -> list[tuple[int, int, str]]:
    """First and last sentence number and the text of each block, in order; sponsor reads are in none."""
    made: list[tuple[int, int, str]] = []
    run: list[Sentence] = []

    def close() -> None:
        if run:
            made.append((run[0].number, run[-1].number, " ".join(s.text for s in run)))
            run.clear()

    for s in sentences:
        if s.mark in UNSEARCHED:
            close()
            continue
        run.append(s)
        if sum(len(r.text.split()) for r in run) >= WORDS:
            close()
    close()
    return made


def save(conn: Connection, transcript_id: int, sentences: Sequence[Sentence]) -> None:
    """Store the blocks of a transcript that has none yet."""
    rows = [
        {"transcript_id": transcript_id, "first": first, "last": last, "text": text}
        for first, last, text in blocks_of(sentences)
    ]
    if rows:
        conn.execute(insert(block), rows)


def fill(conn: Connection) -> int:
    """Make the blocks of up to 20 transcripts that are older than this table; returns how many transcripts it did.

    A transcript whose every sentence is a sponsor's has no block and is not counted, so a caller can loop until 0.
    """
    lacking = (
        select(sentence.c.transcript_id)
        .where(sentence.c.transcript_id.not_in(select(block.c.transcript_id)))
        .where(sentence.c.mark.is_(None) | sentence.c.mark.not_in(UNSEARCHED))
        .distinct()
        .limit(_BATCH)
    )
    ids = list(conn.execute(lacking).scalars())
    for transcript_id in ids:
        found = conn.execute(
            select(sentence).where(sentence.c.transcript_id == transcript_id).order_by(sentence.c.number)
        )
        save(conn, transcript_id, [Sentence(r.number, r.start, r.end, r.text, r.speaker, r.mark) for r in found])
    return len(ids)


def of_sentences(conn: Connection, episode_id: int, first: int, last: int) -> list[Sentence]:
    """The sentences `first..last` of an episode's transcript."""
    query = (
        select(sentence)
        .join(transcript, transcript.c.id == sentence.c.transcript_id)
        .where(transcript.c.episode_id == episode_id, sentence.c.number.between(first, last))
        .order_by(sentence.c.number)
    )
    return [Sentence(r.number, r.start, r.end, r.text, r.speaker, r.mark) for r in conn.execute(query)]
