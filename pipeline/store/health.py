"""What a quick look at the database says about the processes that work on it."""

from __future__ import annotations

from sqlalchemy import Connection, text


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


def lock_held(conn: Connection, key: int) -> bool:
    """Whether some session holds an advisory lock (`Database.alone`)."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND granted"
    return bool(conn.execute(text(query), {"key": key}).scalar_one())
