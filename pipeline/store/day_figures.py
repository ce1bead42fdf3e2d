"""What happened, day by day (UTC), and what waits how long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, text

from pipeline.store import episodes
from pipeline.store.tables import episode, insight, insight_drop, llm_call, outbox, stage_run, subscriber, transcript


@dataclass(frozen=True, slots=True)
class Day:
    """A day's work. Rates are None where nothing was done that they could be of."""

    day: str
    episodes: int = 0
    """Went the whole way."""
    failed: int = 0
    audio_hours: float = 0.0
    """Transcribed, by publisher or by Whisper."""
    whisper_hours: float = 0.0
    whisper_s: float = 0.0
    insights: int = 0
    dropped: int = 0
    gpu_s: float = 0.0
    """Seconds of the stages that a GPU worked on, ours or the language model's server's."""
    tokens: int = 0
    """Prompts, cached ones too, and answers."""
    mails: int = 0

    @property
    def proof_rate(self) -> float | None:
        """Insights that stood their proof, of all candidates."""
        return _ratio(self.insights, self.insights + self.dropped)

    @property
    def real_time_factor(self) -> float | None:
        """Seconds that Whisper took for a second of audio."""
        return _ratio(self.whisper_s, self.whisper_hours * 3600)

    @property
    def gpu_s_an_insight(self) -> float | None:
        return _ratio(self.gpu_s, self.insights)

    @property
    def tokens_an_insight(self) -> float | None:
        return _ratio(self.tokens, self.insights)


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _day(conn: Connection, column: Any) -> ColumnElement[str]:
    if conn.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD")
    return func.strftime("%Y-%m-%d", column)


def days(conn: Connection, since: datetime) -> list[Day]:
    """Each day from `since` on that has anything, newest first."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)

    def put(query: Any, *names: str) -> None:
        for row in conn.execute(query):
            found[row[0]] |= dict(zip(names, row[1:], strict=True))

    day = _day(conn, stage_run.c.at)
    done = and_(stage_run.c.at >= since, stage_run.c.outcome == "done")
    through = select(day, func.count()).where(done, stage_run.c.stage == "relate").group_by(day)
    put(through, "episodes")
    heard = select(day, func.sum(stage_run.c.audio_s) / 3600.0).where(done, stage_run.c.stage == "transcribe")
    put(heard.group_by(day), "audio_hours")
    whisper = heard.add_columns(func.sum(stage_run.c.seconds)).join(
        transcript, and_(transcript.c.episode_id == stage_run.c.episode_id, transcript.c.source == "whisper")
    )
    put(whisper.group_by(day), "whisper_hours", "whisper_s")
    gpu = select(day, func.sum(stage_run.c.seconds)).where(stage_run.c.at >= since, stage_run.c.gpu)
    put(gpu.group_by(day), "gpu_s")
    failed = select(day, func.count()).where(stage_run.c.at >= since, stage_run.c.outcome == "failed")
    put(failed.group_by(day), "failed")
    for table, column, name in ((insight, insight.c.made_at, "insights"), (insight_drop, insight_drop.c.at, "dropped")):
        at = _day(conn, column)
        put(select(at, func.count()).select_from(table).where(column >= since).group_by(at), name)
    at = _day(conn, llm_call.c.at)
    both = func.coalesce(llm_call.c.prompt_tokens, 0) + func.coalesce(llm_call.c.completion_tokens, 0)
    put(select(at, func.sum(both)).where(llm_call.c.at >= since).group_by(at), "tokens")
    at = _day(conn, outbox.c.changed_at)
    sent = and_(outbox.c.changed_at >= since, outbox.c.state == "sent")
    put(select(at, func.count()).where(sent).group_by(at), "mails")
    made = [Day(d, **{k: v or 0 for k, v in values.items()}) for d, values in found.items()]
    return sorted(made, key=lambda d: d.day, reverse=True)


def stage_seconds(conn: Connection, since: datetime) -> dict[tuple[str, str], list[float]]:
    """The seconds of each run since then, sorted, by stage and outcome."""
    query = select(stage_run.c.stage, stage_run.c.outcome, stage_run.c.seconds).where(stage_run.c.at >= since)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for stage, outcome, seconds in conn.execute(query):
        found[stage, outcome].append(float(seconds))
    return {k: sorted(v) for k, v in found.items()}


def queue_ages(conn: Connection, now: datetime) -> dict[str, float]:
    """Seconds that the oldest waiting episode of each stage has been there; 0 for a stage where none waits.

    It came there when its last stage was done, or when it was first seen.
    """
    came = (
        select(func.max(stage_run.c.at))
        .where(stage_run.c.episode_id == episode.c.id, stage_run.c.outcome == "done")
        .scalar_subquery()
    )
    since = func.coalesce(came, episode.c.seen_at, type_=episode.c.seen_at.type)
    query = select(episode.c.stage, func.min(since, type_=episode.c.seen_at.type)).where(
        episode.c.stage.in_(episodes.WAITING)
    )
    oldest = {str(r[0]): r[1] for r in conn.execute(query.group_by(episode.c.stage))}
    return {s: max(0.0, (now - oldest[s]).total_seconds()) if s in oldest else 0.0 for s in episodes.WAITING}


def mail_ages(conn: Connection, now: datetime) -> dict[str, float]:
    """Seconds since the oldest mail of each state that is not over came into it."""
    states = ("queued", "deferred", "claimed", "transmitting", "uncertain")
    oldest = func.min(outbox.c.changed_at, type_=outbox.c.changed_at.type)
    query = select(outbox.c.state, oldest).where(outbox.c.state.in_(states)).group_by(outbox.c.state)
    found = {str(r[0]): r[1] for r in conn.execute(query)}
    return {s: max(0.0, (now - found[s]).total_seconds()) if s in found else 0.0 for s in states}


def overdue(conn: Connection, now: datetime) -> tuple[int, float]:
    """Digests that are due and not made, and for how many seconds the oldest has been."""
    oldest = func.min(subscriber.c.next_digest_at, type_=subscriber.c.next_digest_at.type)
    query = select(func.count(), oldest).where(subscriber.c.state == "active", subscriber.c.next_digest_at <= now)
    n, at = conn.execute(query).one()
    return int(n), (now - at).total_seconds() if at else 0.0


def jobs(conn: Connection) -> Mapping[tuple[str, str], int]:
    """Jobs of the queue by queue and status; empty on SQLite, which has none."""
    if conn.dialect.name != "postgresql":
        return {}
    query = (
        "SELECT queue_name, status::text, count(*) FROM procrastinate_jobs WHERE status <> 'succeeded' GROUP BY 1, 2"
    )
    return {(str(r[0]), str(r[1])): int(r[2]) for r in conn.execute(text(query))}


def added(many: Sequence[Day]) -> Day:
    """Several days as one."""
    sums = {f.name: sum(getattr(d, f.name) for d in many) for f in fields(Day) if f.name != "day"}
    return Day(many[0].day if many else "", **sums)
