"""From a due subscriber to a frozen digest and its queued mail, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.channel.ways import WAYS
from pipeline.digest.explain import explanation
from pipeline.digest.pool import Pool
from pipeline.digest.select import SameIdea, Selection, select
from pipeline.digest.taste import weighed
from pipeline.email import message
from pipeline.email.render import Rendered, render
from pipeline.records import DigestIssue, DigestItem, Subscriber
from pipeline.schedule import local_date, next_digest
from pipeline.settings import Settings
from pipeline.store import channels, digests, feedback, insights, outbox, subscribers

STALE = timedelta(hours=36)
"""A digest that could not be sent for so long is old news, also where the next one is days away."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A digest before it is frozen: the issue, its looks, and how it came about."""

    issue: DigestIssue
    rendered: Rendered
    selection: Selection


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _stood_in(writers: Sequence[str], settings: Settings) -> str | None:
    """Says of how many insights the selecting writer stood in for the language model, where it may."""
    n = writers.count("selecting")
    if not n or settings.llm.url is None or not settings.llm.fallback:
        return None
    which = "All of these" if n == len(writers) else f"{n} of these {len(writers)}"
    return f"{which} {'was' if n == 1 else 'were'} selected without the language model."


def compose(conn: Connection, who: Subscriber, settings: Settings, same_idea: SameIdea, now: datetime) -> Composed:
    """Select and render what `who` would get now. Changes nothing."""
    issue, chosen = choose(conn, who, settings, same_idea, now)
    return Composed(issue, render(issue, who, settings), chosen)


def choose(
    conn: Connection, who: Subscriber, settings: Settings, same_idea: SameIdea, now: datetime, pool: Pool | None = None
) -> tuple[DigestIssue, Selection]:
    """What `who` would get now, and how it came about. Changes nothing. `pool` is what a pass has read already."""
    pool = pool or Pool(now)
    first = who.last_digest_date is None
    days = settings.digest.first_lookback_days if first else settings.digest.lookback_days
    _, judged = pool.read(conn, days)
    found = weighed(pool.granted(conn, days, who), feedback.opinions(conn, who.id), settings.digest.floor)
    told = pool.remembered(same_idea)
    chosen = select(found, pool.had(conn, who.id), who.count, settings.digest.floor, told, judged)
    n, episodes = len(chosen.chosen), len({c.insight.episode_id for c in found})
    thin = None
    if n < who.count:
        thin = (
            f"A thin day: {_counted(len(found), 'candidate')} from {_counted(episodes, 'episode')} of the last {days} "
            f"days; {n or 'none'} {'was' if n == 1 else 'were'} new and good enough to send."
        )
    issue = DigestIssue(
        local_date=local_date(now, who.time_zone).isoformat(),
        items=_items(conn, chosen),
        wanted=who.count,
        considered=len(found),
        episodes=episodes,
        thin_reason=thin,
        note=_stood_in([c.insight.writer for c in chosen.chosen], settings),
    )
    return issue, chosen


def _items(conn: Connection, chosen: Selection) -> tuple[DigestItem, ...]:
    before = insights.by_id(conn, [link.earlier_id for link in chosen.updates.values()])
    items = []
    for k, c in enumerate(chosen.chosen, 1):
        link = chosen.updates.get(c.insight.id)
        if link is None or link.earlier_id not in before:
            items.append(DigestItem(k, c.insight))
            continue
        earlier = before[link.earlier_id]
        since = f"You had “{earlier.title}” ({earlier.show}, {earlier.published:%d %B %Y})."
        items.append(DigestItem(k, c.insight, "update", f"{since} {link.changed}" if link.changed else since))
    return tuple(items)


def build(
    conn: Connection, who: Subscriber, settings: Settings, same_idea: SameIdea, now: datetime, pool: Pool | None = None
) -> int | None:
    """Freeze today's digest of `who` and queue its mail. None when there is one already, or nothing to send.

    Digest, items, ledger, outbox row, posts of channels and the next due time commit together, so a crash leaves all of
    it or nothing.
    """
    today = local_date(now, who.time_zone).isoformat()
    following = next_digest(now, who.hour, who.minute, who.time_zone, today, who.days)
    if digests.exists(conn, who.id, today) is not None:
        subscribers.schedule(conn, who.id, following, today)
        return None
    ways = channels.of_subscriber(conn, who.id)
    if not who.by_mail and not ways:
        # It would go nowhere, and its insights would count as had.
        subscribers.schedule(conn, who.id, following)
        return None
    issue, chosen = choose(conn, who, settings, same_idea, now, pool)
    if not issue.items:
        # Nothing new is no mail; the lookback of a first digest is kept until there is one to send.
        subscribers.schedule(conn, who.id, following)
        return None
    told = explanation(chosen, settings.digest.floor)
    # The mail links to the digest, whose id is known once its row is there; so the looks follow the row.
    digest_id = digests.freeze(conn, who, issue, chosen.chosen, "", "", "", now, told)
    r = render(issue, who, settings, digest_id)
    digests.print_(conn, digest_id, r.subject, r.html, r.text)
    expires = min(following, now + STALE)
    if who.by_mail:
        mail = message.build(r, who, digest_id, settings, now)
        outbox.put(
            conn,
            digest_id=digest_id,
            subscriber_id=who.id,
            recipient=who.email,
            message_id=mail.message_id,
            message=mail.data,
            next_at=now,
            expires_at=expires,
            changed_at=now,
        )
    for channel_id, kind in ways:
        key = f"digest-{digest_id}-{channel_id}-{who.nonce[:8]}"
        channels.put(conn, digest_id, channel_id, key, WAYS[kind].body(issue, digest_id, settings), now, expires)
    subscribers.schedule(conn, who.id, following, today)
    return digest_id
