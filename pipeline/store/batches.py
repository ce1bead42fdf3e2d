"""What a batch is asked about episodes, and what it has answered so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update

from pipeline.insight.batch import Answer
from pipeline.store.tables import batch_question, episode, insight, insight_link, insight_match, transcript

BATCH = 500
RELATING = "-relate"
"""In the id of a question about how insights stand to each other."""
_RELATING = batch_question.c.id.contains(f"{RELATING}-")


def todo(conn: Connection, since: datetime) -> list[int]:
    """Episodes that wait for their insights, and those published since then of which no language model wrote any."""
    written = exists().where(and_(insight.c.episode_id == episode.c.id, insight.c.writer == "moe"))
    selected = and_(episode.c.stage == "done", episode.c.published >= since, episode.c.backfill.is_(False), ~written)
    query = (
        select(episode.c.id)
        .join(transcript, transcript.c.episode_id == episode.c.id)
        .where(or_(episode.c.stage == "extract", selected))
        .order_by(episode.c.published.desc(), episode.c.id)
    )
    return list(conn.execute(query).scalars())


def ask(conn: Connection, episode_id: int, ids: Iterable[str], now: datetime) -> None:
    """Remember what is asked about an episode; what was asked before stays as it is."""
    there = set(conn.execute(select(batch_question.c.id).where(batch_question.c.episode_id == episode_id)).scalars())
    rows = [{"id": i, "episode_id": episode_id, "asked_at": now} for i in ids if i not in there]
    if rows:
        conn.execute(insert(batch_question), rows)


def keep(conn: Connection, answers: Sequence[Answer]) -> set[str]:
    """Store answers to what was asked; returns the ids that were."""
    known: set[str] = set()
    by_id = {a.id: a for a in answers}
    names = sorted(by_id)
    for k in range(0, len(names), BATCH):
        query = select(batch_question.c.id).where(batch_question.c.id.in_(names[k : k + BATCH]))
        known |= set(conn.execute(query).scalars())
    for name in sorted(known):
        values = {"status": by_id[name].status, "answer": dict(by_id[name].body)}
        conn.execute(update(batch_question).where(batch_question.c.id == name).values(values))
    return known


def answers(conn: Connection, episode_id: int) -> dict[str, Answer]:
    """What was answered about an episode, by the question's id."""
    query = select(batch_question).where(
        batch_question.c.episode_id == episode_id, batch_question.c.answer.is_not(None)
    )
    return {r.id: Answer(r.id, r.status, r.answer) for r in conn.execute(query)}


def unrelated(conn: Connection, since: datetime) -> list[int]:
    """Finished episodes published since, with insights that a model wrote, of which only words have said how they stand
    to others, or none was compared."""
    mine = and_(insight.c.episode_id == episode.c.id, insight.c.writer == "moe")
    by_words = exists().where(mine, insight_link.c.newer_id == insight.c.id, insight_link.c.judge == "words")
    met = exists().where(mine, or_(insight_match.c.one_id == insight.c.id, insight_match.c.other_id == insight.c.id))
    query = (
        select(episode.c.id)
        .where(episode.c.stage == "done", episode.c.published >= since, episode.c.backfill.is_(False))
        .where(exists().where(mine), or_(by_words, ~met))
        .order_by(episode.c.published, episode.c.id)
    )
    return list(conn.execute(query).scalars())


def open_(conn: Connection, *, relating: bool = False) -> dict[int, tuple[int, int]]:
    """Episodes that are under way: questions asked, questions answered."""
    counts = (func.count(), func.count(batch_question.c.status))
    query = select(batch_question.c.episode_id, *counts).group_by(batch_question.c.episode_id)
    query = query.where(_RELATING if relating else ~_RELATING)
    rows: list[Any] = list(conn.execute(query.order_by(batch_question.c.episode_id)))
    return {int(e): (int(asked), int(answered)) for e, asked, answered in rows}


def forget(conn: Connection, episode_id: int, *, relating: bool = False) -> None:
    """Drop what was asked about an episode, and the answers."""
    which = _RELATING if relating else ~_RELATING
    conn.execute(delete(batch_question).where(batch_question.c.episode_id == episode_id, which))
