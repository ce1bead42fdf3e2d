"""What a restored installation must not take for granted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, update

from pipeline.clock import iso_z
from pipeline.store import subscribers
from pipeline.store.tables import outbox


def settle(conn: Connection, now: datetime, made_at: datetime) -> tuple[int, int]:
    """Mails that waited when the backup was made become `uncertain`, digests of the past are skipped. Counts of both.

    The installation that was backed up went on, and may have sent them.
    """
    waiting = ("queued", "deferred", "claimed", "transmitting")
    said = f"restored from a backup of {iso_z(made_at)}; it may have been sent since"
    values = {"state": "uncertain", "reply": said, "owner": None, "lease_until": None, "changed_at": now}
    held = conn.execute(update(outbox).where(outbox.c.state.in_(waiting)).values(**values)).rowcount
    overdue = subscribers.due(conn, now)
    for who in overdue:
        subscribers.schedule(conn, who.id, subscribers.following(who, now))
    return held, len(overdue)
