"""From a due subscriber to a frozen digest and its queued mail, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.digest.select import SameIdea, Selection, select
from pipeline.email import message
from pipeline.email.render import Rendered, render
from pipeline.records import DigestIssue, DigestItem, Subscriber
from pipeline.schedule import local_date, next_digest
from pipeline.settings import Settings
from pipeline.store import digests, insights, outbox


@dataclass(frozen=True, slots=True)
class Composed:
    """A digest before it is frozen: the issue, its looks, and how it came about."""

    issue: DigestIssue
    rendered: Rendered
    selection: Selection


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def compose(conn: Connection, who: Subscriber, settings: Settings, same_idea: SameIdea, now: datetime) -> Composed:
    """Select and render what `who` would get now. Changes nothing."""
    first = who.last_digest_date is None
    days = settings.digest.first_lookback_days if first else settings.digest.lookback_days
    found = insights.candidates(conn, now - timedelta(days=days), now)
    chosen = select(found, insights.had(conn, who.id), who.count, settings.digest.floor, same_idea)
    n, episodes = len(chosen.chosen), len({c.insight.episode_id for c in found})
    thin = None
    if n < who.count:
        thin = (
            f"A thin day: {_counted(len(found), 'candidate')} from {_counted(episodes, 'episode')} of the last {days} "
            f"days; {n or 'none'} {'was' if n == 1 else 'were'} new and good enough to send."
        )
    issue = DigestIssue(
        local_date=local_date(now, who.time_zone).isoformat(),
        items=tuple(DigestItem(k, c.insight) for k, c in enumerate(chosen.chosen, 1)),
        wanted=who.count,
        considered=len(found),
        episodes=episodes,
        thin_reason=thin,
    )
    return Composed(issue, render(issue, who, settings), chosen)


def build(conn: Connection, who: Subscriber, settings: Settings, same_idea: SameIdea, now: datetime) -> int | None:
    """Freeze today's digest of `who` and queue its mail. None when there is one already, or nothing to send.

    Digest, items, ledger, outbox row and the next due time commit together, so a crash leaves all of it or nothing.
    """
    today = local_date(now, who.time_zone).isoformat()
    following = next_digest(now, who.hour, who.minute, who.time_zone, today)
    if digests.exists(conn, who.id, today) is not None:
        digests.schedule(conn, who.id, following, today)
        return None
    made = compose(conn, who, settings, same_idea, now)
    if not made.issue.items:
        # Nothing new is no mail; the lookback of a first digest is kept until there is one to send.
        digests.schedule(conn, who.id, following)
        return None
    r = made.rendered
    digest_id = digests.freeze(conn, who, made.issue, made.selection.chosen, r.subject, r.html, r.text, now)
    mail = message.build(r, who, digest_id, settings, now)
    outbox.put(
        conn,
        digest_id=digest_id,
        subscriber_id=who.id,
        recipient=who.email,
        message_id=mail.message_id,
        message=mail.data,
        next_at=now,
        expires_at=following,
        changed_at=now,
    )
    digests.schedule(conn, who.id, following, today)
    return digest_id
