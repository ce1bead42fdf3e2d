"""What was put off by a clock that was wrong: nothing may wait longer than anything of ours ever waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from pipeline.store import episodes, subscribers
from pipeline.store.outbox import WAITING
from pipeline.store.tables import episode, feed, host_hold, mail_hold, outbox, subscriber

EPISODE = timedelta(hours=49)
"""A retry waits 7 h at most, an audio budget a day, what a server asks for (Retry-After) two days."""
FEED = timedelta(hours=49)
MAIL = timedelta(hours=49)
DIGEST = timedelta(days=8)
"""A subscriber may want one weekday only."""


def recall(conn: Connection, now: datetime) -> dict[str, int]:
    """Bring back what waits for a time that no clock that goes right would have set. Counts what was brought back.

    A machine that woke up in 2036 for a minute would else leave behind episodes, feeds and readers that wait ten years.
    """
    found: dict[str, int] = {}
    late = update(episode).where(episode.c.stage.in_(episodes.WAITING), episode.c.retry_at > now + EPISODE)
    ids = list(conn.execute(late.values(retry_at=now).returning(episode.c.id)).scalars())
    episodes.wake(conn, ids)
    found["episodes"] = len(ids)
    polls = update(feed).where(feed.c.state == "active", feed.c.next_poll_at > now + FEED)
    found["feeds"] = conn.execute(polls.values(next_poll_at=now)).rowcount
    mails = update(outbox).where(outbox.c.state.in_(WAITING), outbox.c.next_at > now + MAIL)
    found["mails"] = conn.execute(mails.values(next_at=now)).rowcount
    conn.execute(host_hold.delete().where(host_hold.c.until > now + FEED))
    conn.execute(mail_hold.delete().where(mail_hold.c.until > now + MAIL))
    far = select(subscriber).where(subscriber.c.state == "active", subscriber.c.next_digest_at > now + DIGEST)
    people = [subscribers.record(r) for r in conn.execute(far)]
    for who in people:
        # Its last digest may bear a date that has not come yet; that day then has no second one.
        subscribers.schedule(conn, who.id, subscribers.following(replace(who, last_digest_date=None), now))
    found["digests"] = len(people)
    return found
