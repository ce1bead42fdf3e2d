"""What a quick look at the database says about the processes that work on it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, text

from pipeline.store.tables import feed_poll, stage_run


def silence_s(conn: Connection) -> float | None:
    """Seconds since another session from this one's address last spoke to the PostgreSQL server; None without one.

    A clock speaks every 5 s and a worker every 10 s, whether or not there is work. A session that has ended is not
    counted, and neither is this one.
    """
    found = conn.execute(
        text(
            "SELECT extract(epoch FROM clock_timestamp() - max(state_change)) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND datname = current_database() AND usename = current_user "
            "AND pid <> pg_backend_pid() AND client_addr IS NOT DISTINCT FROM inet_client_addr()"
        )
    ).scalar()
    return None if found is None else float(found)


def workers(conn: Connection, silent_s: float) -> int:
    """Workers of the job queue that were heard of within so many seconds."""
    query = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :s)"
    return int(conn.execute(text(query), {"s": silent_s}).scalar_one())


def silent(conn: Connection, stale_s: float) -> int:
    """Workers of the job queue that have not been heard of for so long, and not been struck off yet."""
    query = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat < now() - make_interval(secs => :s)"
    return int(conn.execute(text(query), {"s": stale_s}).scalar_one())


def begun_again(conn: Connection, hours: int) -> int:
    """Jobs of the last hours that were taken from a worker that died, or that the database's own trouble broke."""
    query = (
        "SELECT count(*) FROM procrastinate_events WHERE type IN ('deferred_for_retry', 'aborted') "
        "AND at > now() - make_interval(hours => :h)"
    )
    return int(conn.execute(text(query), {"h": hours}).scalar_one())


def ahead(conn: Connection, now: datetime) -> timedelta | None:
    """How far `now` is ahead of PostgreSQL's clock; None on SQLite, which has none of its own."""
    if conn.dialect.name != "postgresql":
        return None
    there: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now - there


def from_the_future(conn: Connection, now: datetime) -> timedelta:
    """How far the newest of what was noted is ahead of `now`; zero when it is not."""
    newest = [conn.execute(select(func.max(c))).scalar() for c in (stage_run.c.at, feed_poll.c.at)]
    return max([at - now for at in newest if at is not None and at > now], default=timedelta())


def left_lying(conn: Connection, minutes: int) -> dict[str, int]:
    """Jobs by queue that could have run for so many minutes, and that nobody has taken."""
    query = (
        "SELECT queue_name, count(*) FROM procrastinate_jobs j WHERE status = 'todo' "
        "AND coalesce(scheduled_at, (SELECT max(at) FROM procrastinate_events e WHERE e.job_id = j.id)) "
        "< now() - make_interval(mins => :m) GROUP BY 1"
    )
    return {str(r[0]): int(r[1]) for r in conn.execute(text(query), {"m": minutes})}


def failed_jobs(conn: Connection) -> int:
    """Jobs that gave up; what they were for is told by episodes and digests, chores only by this."""
    return int(conn.execute(text("SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'")).scalar_one())


def sharing(conn: Connection, key: int) -> int:
    """How many sessions share an advisory lock (`Database.present`)."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND granted"
    return int(conn.execute(text(query), {"key": key}).scalar_one())


def lock_held(conn: Connection, key: int) -> bool:
    """Whether some session holds an advisory lock (`Database.alone`)."""
    return bool(sharing(conn, key))
