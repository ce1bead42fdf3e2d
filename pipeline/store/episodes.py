"""Episodes and their way through the stages: the stage column is the truth, a job only a wake-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from pipeline.episode.identity import StoredEpisodeKey
from pipeline.episode.twins import title_key
from pipeline.errors import NotFoundError
from pipeline.records import Chapter, ParsedEpisode, Person, TranscriptLink
from pipeline.store.database import WAKER
from pipeline.store.tables import episode, feed

STAGES = {
    "future": "published with a date that has not come yet",
    "download": "its audio is wanted",
    "transcribe": "audio is here, sentences are wanted",
    "extract": "sentences are here, insights are wanted",
    "relate": "insights are here, what they are to earlier ones is wanted",
    "done": "insights are stored",
    "skipped": "not asked for (too old, filtered, there already); kept, not processed, and the error says why",
    "failed": "gave up; the error says why, `podsift episode retry` starts again",
}
"""Each stage with its meaning.

    future ──► download ──► transcribe ──► extract ──► relate ──► done
                   │             │            │
                   └─────────────┴────────────┴──────► failed ──(retry)──► download

`skipped` is where an unwanted episode rests; `podsift episode retry` takes it in.
"""

WAITING = ("download", "transcribe", "extract", "relate")


def _values(e: ParsedEpisode) -> dict[str, Any]:
    return {
        "guid": e.guid,
        "title": e.title,
        "published": e.published,
        "duration_s": e.duration_s,
        "link": e.link,
        "description": e.description,
        "enclosure_url": e.enclosure_url,
        "enclosure_type": e.enclosure_type,
        "enclosure_length": e.enclosure_length,
        "image_url": e.image_url,
        "chapters_url": e.chapters_url,
        "transcripts": [{"url": t.url, "type": t.type, "language": t.language, "rel": t.rel} for t in e.transcripts],
        "persons": [asdict(p) for p in e.persons],
        "explicit": e.explicit,
        "title_key": title_key(e.title),
        "soundbites": [asdict(s) for s in e.soundbites] or None,
        # A feed without chapters must not wipe out those that were fetched.
        **({"chapters": [asdict(c) for c in e.chapters]} if e.chapters else {}),
    }


def add(
    conn: Connection,
    feed_id: int,
    key: str,
    e: ParsedEpisode,
    stage: str,
    error: str | None,
    now: datetime,
    *,
    backfill: bool = False,
    same_as: int | None = None,
) -> int:
    """Store a new episode at `stage`; `error` says why it is skipped, `same_as` is the episode that it repeats."""
    row = _row(feed_id, NewEpisode(key, e, stage, error, backfill, same_as), now)
    made = int(conn.execute(insert(episode).returning(episode.c.id), row).scalar_one())
    wake(conn, [made])
    return made


@dataclass(frozen=True, slots=True)
class NewEpisode:
    """An episode as it is stored first: see `add`."""

    key: str
    episode: ParsedEpisode
    stage: str
    error: str | None = None
    backfill: bool = False
    same_as: int | None = None


def add_all(conn: Connection, feed_id: int, new: Sequence[NewEpisode], now: datetime) -> None:
    """Store new episodes of one feed, all of them at once."""
    rows = [_row(feed_id, n, now) for n in new]
    if not rows:
        return
    if WAKER in conn.get_execution_options():
        wake(conn, list(conn.execute(insert(episode).returning(episode.c.id), rows).scalars()))
    else:
        # Without a queue nobody asks for the ids, and SQLite would return them row by row.
        conn.execute(insert(episode), rows)


def _row(feed_id: int, n: NewEpisode, now: datetime) -> dict[str, Any]:
    of_its_own = {"key": n.key, "stage": n.stage, "error": n.error, "backfill": n.backfill, "same_as": n.same_as}
    of_all = {"feed_id": feed_id, "seen_at": now, "changed_at": now, "chapters": None}
    return of_all | _values(n.episode) | of_its_own


def edit(conn: Connection, episode_id: int, e: ParsedEpisode, now: datetime) -> None:
    """Take over what the publisher changed. Stage and transcript stay."""
    conn.execute(update(episode).where(episode.c.id == episode_id).values(**_values(e), changed_at=now))


def keys_of_feed(conn: Connection, feed_id: int) -> list[StoredEpisodeKey]:
    """What identity needs of a feed's episodes."""
    names = [f.name for f in fields(StoredEpisodeKey)]
    rows = conn.execute(select(*(episode.c[n] for n in names)).where(episode.c.feed_id == feed_id))
    return [StoredEpisodeKey(**dict(r._mapping)) for r in rows]


def of_feed(conn: Connection, feed_id: int) -> list[dict[str, Any]]:
    """A feed's episodes whose date has come, newest first, as selecting needs them."""
    names = ("id", "guid", "title", "published", "duration_s", "enclosure_url", "enclosure_type", "enclosure_length")
    columns = [episode.c[n] for n in (*names, "explicit", "stage", "same_as")]
    query = select(*columns).where(episode.c.feed_id == feed_id, episode.c.stage != "future")
    return [dict(r._mapping) for r in conn.execute(query.order_by(episode.c.published.desc(), episode.c.id))]


def take_back(conn: Connection, ids: Sequence[int]) -> int:
    """Let skipped episodes go on as backfill; returns how many."""
    taken = 0
    for k in range(0, len(ids), 500):
        query = (
            update(episode)
            .where(episode.c.id.in_(ids[k : k + 500]), episode.c.stage == "skipped")
            .values(stage="download", backfill=True, error=None, attempts=0, retry_at=None)
            .returning(episode.c.id)
        )
        done = list(conn.execute(query).scalars())
        wake(conn, done)
        taken += len(done)
    return taken


def get(conn: Connection, episode_id: int) -> dict[str, Any]:
    """One episode with its show's title and language. Raises NotFoundError."""
    query = (
        select(
            episode,
            feed.c.title.label("show"),
            feed.c.language.label("feed_language"),
            feed.c.persons.label("feed_persons"),
            feed.c.credentials.is_not(None).label("private"),
        )
        .join(feed, feed.c.id == episode.c.feed_id)
        .where(episode.c.id == episode_id)
    )
    row = conn.execute(query).first()
    if row is None:
        raise NotFoundError(f"There is no episode {episode_id}", hint="podsift episode list shows the episodes")
    return dict(row._mapping)


def listed(conn: Connection, *, stage: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
    """Episodes, newest first, with their show's title."""
    private = feed.c.credentials.is_not(None).label("private")
    query = select(episode, feed.c.title.label("show"), private).join(feed, feed.c.id == episode.c.feed_id)
    if stage:
        query = query.where(episode.c.stage == stage)
    rows = conn.execute(query.order_by(episode.c.published.desc(), episode.c.id).limit(limit))
    return [dict(r._mapping) for r in rows]


def links(row: Mapping[str, Any]) -> tuple[TranscriptLink, ...]:
    """The publisher transcripts of an episode row."""
    return tuple(TranscriptLink(**t) for t in row["transcripts"])


def persons(row: Mapping[str, Any]) -> tuple[Person, ...]:
    """The people of an episode row; those of the show where it names none."""
    return tuple(Person(**p) for p in row["persons"] or row.get("feed_persons") or ())


def chapters(row: Mapping[str, Any]) -> tuple[Chapter, ...]:
    """The publisher's chapters of an episode row, in their order."""
    return tuple(Chapter(**c) for c in row["chapters"] or ())


def waiting(conn: Connection, stage: str, now: datetime, limit: int = 50) -> list[int]:
    """Ids that wait at a stage and may run now: fresh before backfill, newest first. This query is the queue."""
    query = (
        select(episode.c.id)
        .where(episode.c.stage == stage, or_(episode.c.retry_at.is_(None), episode.c.retry_at <= now))
        .order_by(episode.c.backfill, episode.c.published.desc(), episode.c.id)
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def release_future(conn: Connection, now: datetime) -> int:
    """Let episodes go on whose date has come, or whose twin failed; returns how many."""
    failed = select(episode.c.id).where(episode.c.stage == "failed")
    repeats = and_(episode.c.stage == "skipped", episode.c.same_as.is_not(None), episode.c.same_as.in_(failed))
    query = (
        update(episode)
        .where(or_(and_(episode.c.stage == "future", episode.c.published <= now), repeats))
        .values(stage="download", error=None, same_as=None)
        .returning(episode.c.id)
    )
    ids = list(conn.execute(query).scalars())
    wake(conn, ids)
    return len(ids)


@dataclass(frozen=True, slots=True)
class Wakeup:
    """An episode that waits at a stage, and from when on it may run."""

    episode_id: int
    stage: str
    at: datetime | None
    backfill: bool


def wake(conn: Connection, ids: Sequence[int]) -> None:
    """Tell the job queue, in the same transaction, what waits now. Without a queue (SQLite) nobody listens."""
    waker = conn.get_execution_options().get(WAKER)
    if waker is None or not ids:
        return
    waker(conn, wakeups(conn, ids))


def wakeups(conn: Connection, ids: Sequence[int] | None = None) -> list[Wakeup]:
    """What waits, of these episodes or of all."""
    columns = (episode.c.id, episode.c.stage, episode.c.retry_at, episode.c.backfill)
    query = select(*columns).where(episode.c.stage.in_(WAITING))
    if ids is not None:
        query = query.where(episode.c.id.in_(ids))
    return [Wakeup(*row) for row in conn.execute(query.order_by(episode.c.backfill, episode.c.id))]


def start(conn: Connection, episode_id: int, stage: str) -> int | None:
    """Count one start of a stage before it runs, so that a job that kills its process is counted too.

    Returns the number of starts, or None when the episode is not at that stage any more.
    """
    query = (
        update(episode)
        .where(episode.c.id == episode_id, episode.c.stage == stage)
        .values(attempts=episode.c.attempts + 1)
        .returning(episode.c.attempts)
    )
    return conn.execute(query).scalar()


def may_run(conn: Connection, episode_id: int, stage: str, now: datetime) -> bool:
    """Whether an episode is at this stage and not put off."""
    put_off = and_(episode.c.retry_at.is_not(None), episode.c.retry_at > now)
    query = select(episode.c.id).where(episode.c.id == episode_id, episode.c.stage == stage, ~put_off)
    return conn.execute(query).first() is not None


def advance(conn: Connection, episode_id: int, stage: str, to: str, **values: Any) -> bool:
    """Compare-and-set of the stage column; False when somebody else moved it first."""
    query = (
        update(episode)
        .where(episode.c.id == episode_id, episode.c.stage == stage)
        .values(stage=to, attempts=0, retry_at=None, **({"error": None} | values))
    )
    moved = conn.execute(query).rowcount == 1
    if moved:
        wake(conn, [episode_id])
    return moved


def put_off(conn: Connection, episode_id: int, stage: str, retry_at: datetime, error: str, *, counts: bool) -> None:
    """Try again at `retry_at`. A wait for something that is away does not count as an attempt."""
    values: dict[str, Any] = {"retry_at": retry_at, "error": error}
    if not counts:
        values["attempts"] = episode.c.attempts - 1
    conn.execute(update(episode).where(episode.c.id == episode_id, episode.c.stage == stage).values(**values))
    wake(conn, [episode_id])


def retry(conn: Connection, episode_id: int) -> str:
    """Send a failed, skipped or waiting episode on its way again; returns the stage it starts from."""
    row = get(conn, episode_id)
    stage = row["stage"] if row["stage"] in WAITING else "download"
    conn.execute(
        update(episode).where(episode.c.id == episode_id).values(stage=stage, attempts=0, retry_at=None, error=None)
    )
    wake(conn, [episode_id])
    return stage


def counts(conn: Connection, feed_id: int | None = None) -> dict[str, int]:
    """Number of episodes at each stage, of all feeds or of one."""
    query = select(episode.c.stage, func.count()).group_by(episode.c.stage)
    rows = conn.execute(query if feed_id is None else query.where(episode.c.feed_id == feed_id)).all()
    return {str(row[0]): int(row[1]) for row in rows}


def note(conn: Connection, episode_id: int, values: Mapping[str, Any]) -> None:
    """Set columns that are not the stage's."""
    conn.execute(update(episode).where(episode.c.id == episode_id).values(**values))


def audio_wanted(conn: Connection) -> set[str]:
    """Names of the audio files (without suffix) that stored or coming episodes need."""
    on_the_way = episode.c.stage.in_(("download", "transcribe"))
    query = select(episode.c.id).where(or_(on_the_way, episode.c.audio_path.is_not(None)))
    return {str(i) for i in conn.execute(query).scalars()}
