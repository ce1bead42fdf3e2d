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
