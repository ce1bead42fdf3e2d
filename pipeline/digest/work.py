"""One pass over everything that is due: poll, process, build, send."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pipeline.channel.deliver import deliver_due
from pipeline.clock import Clock
from pipeline.digest.compose import build
from pipeline.digest.past import Past
from pipeline.digest.pool import Pool
from pipeline.email.bounce_box import collect_quietly
from pipeline.email.delivery import Sent, send_due
from pipeline.errors import DatabaseAwayError, PodsiftError, UsageError
from pipeline.insight.relate import same_reason
from pipeline.settings import Settings
from pipeline.store import outbox, subscribers
from pipeline.store.database import Database

log = logging.getLogger(__name__)
_PAST: WeakKeyDictionary[Database, Past] = WeakKeyDictionary()
"""What readers have had, of each database; it would take longer to read, each morning, the more there is of it."""
PASS_S = 60.0
"""So long mails are sent before the clock is looked at again for digests that fell due."""


@dataclass
class Built:
    """What building the due digests did."""

    digests: list[int] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def build_due(db: Database, settings: Settings, clock: Clock, *, all_: bool = False) -> Built:
    """Build every digest that is due (`all_`: of everybody). One person's failure stops nobody else's."""
    with db.begin() as conn:
        people = subscribers.listed(conn) if all_ else subscribers.due(conn, clock.now())
    made, pool = Built(), Pool(clock.now(), _PAST.setdefault(db, Past()))
    for who in people:
        try:
            with db.begin() as conn:
                digest_id = build(conn, who, settings, same_reason, clock.now(), pool)
        except DatabaseAwayError:
            raise  # nobody's digest can be built now, and all stay due
        except PodsiftError as e:
            log.error("digest of subscriber %s failed: %s", who.id, e)  # noqa: TRY400 - our own error says it all
            made.failed[who.email] = str(e)
            continue
        except Exception as e:
            log.exception("digest of subscriber %s broke", who.id)
            made.failed[who.email] = f"{type(e).__name__}: {e}"
            continue
        if digest_id is None:
            made.empty.append(who.email)
        else:
            made.digests.append(digest_id)
    return made


@contextmanager
def sole_sender(db: Database) -> Iterator[None]:
    """Held by whoever builds or sends: two would race for the same mails. Raises UsageError when another one is at it.

    On SQLite the caller holds the data folder.
    """
    with db.alone("mail") as mine:
        if not mine:
            raise UsageError("Another podsift builds or sends digests at this moment", hint="try again in a minute")
        with db.begin() as conn:
            outbox.end_leases(conn)
        yield


def morning(db: Database, settings: Settings, clock: Clock, say: Callable[[str], None]) -> tuple[Built, Sent]:
    """Build what is due and send what waits, telling each in a sentence."""
    with sole_sender(db):
        collect_quietly(db, settings, clock)
        built = build_due(db, settings, clock)
        sent = send_due(db, settings, clock, limit_s=PASS_S)
        while sent.more:
            # A slow server must not hold up the digests of the next hour.
            later = build_due(db, settings, clock)
            built.digests += later.digests
            built.empty += later.empty
            built.failed |= later.failed
            sent = sent.plus(send_due(db, settings, clock, limit_s=PASS_S))
        posted = deliver_due(db, settings, clock)
    say(f"digests built {len(built.digests)}, mails sent {sent.sent}, deferred {sent.deferred}, failed {sent.failed}")
    if posted:
        say("channels: " + ", ".join(f"{n} {state}" for state, n in sorted(posted.items())))
    if sent.held:
        say(f"mail server: {sent.held}")
    return built, sent
