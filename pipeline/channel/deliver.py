"""A pass over what waits for channels. `posting` is committed before each post, so that a crash is seen afterwards.

After a crash a webhook or file is made again, with the same id or name; a chat's post is `uncertain` and waits for a
person. The caller is the only sender (`digest.work.sole_sender`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline.channel.base import Fate, Post, Way
from pipeline.channel.ways import WAYS, opened
from pipeline.clock import Clock
from pipeline.errors import PodsiftError
from pipeline.settings import Settings
from pipeline.store import channels
from pipeline.store.database import Database

log = logging.getLogger(__name__)
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=2)
PASS_S = 120.0


def deliver_due(
    db: Database, settings: Settings, clock: Clock, *, ways: Mapping[str, Way] = WAYS, limit_s: float = PASS_S
) -> dict[str, int]:
    """Post what is due. Returns the number of deliveries by the state they came to.

    One channel's trouble stops no other.
    """
    done: dict[str, int] = {}
    with db.begin() as conn:
        channels.recover(conn, [k for k, way in ways.items() if way.repeatable], clock.now())
        channels.expire(conn, clock.now())
    ends = time.monotonic() + limit_s
    troubled: set[int] = set()
    while time.monotonic() < ends:
        with db.begin() as conn:
            found = channels.take(conn, clock.now(), troubled)
        if found is None:
            break
        fate = _post(found, settings, ways, clock.now())
        state, changes = moved(fate, found.attempts, ways[found.kind].repeatable, clock.now())
        with db.begin() as conn:
            channels.settle(conn, found.id, state, fate.why, clock.now(), **changes)
            if fate.outcome == "gone":
                channels.change(conn, found.channel_id, "paused", fate.why)
        if state != "sent":
            troubled.add(found.channel_id)
            log.warning("channel %s: digest %s is %s: %s", found.channel_id, found.digest_id, state, fate.why)
        done[state] = done.get(state, 0) + 1
    return done


def _post(found: channels.Delivery, settings: Settings, ways: Mapping[str, Way], now: datetime) -> Fate:
    try:
        secrets = opened(found.sealed, settings)
    except PodsiftError as e:
        return Fate("later", str(e)[:300])
    try:
        return ways[found.kind].post(secrets, Post(found.key, found.body, now), settings)
    except Exception as e:
        # Of a library, or of ours: it may have happened before or after the post.
        log.exception("channel %s broke", found.channel_id)
        return Fate("unknown", f"{type(e).__name__}: {e}"[:300])


def moved(fate: Fate, attempts: int, repeatable: bool, now: datetime) -> tuple[str, dict[str, Any]]:
    """The state that a fate leads to, and what changes with it. Pure."""
    outcome = fate.outcome
    if outcome == "unknown" and repeatable:
        outcome = "later"
    if outcome == "later":
        wait = min(FIRST_WAIT * 2.0 ** min(attempts, 10), LONGEST_WAIT)
        if fate.wait_s is not None:
            wait = max(wait, min(timedelta(seconds=fate.wait_s), timedelta(hours=12)))
        return "deferred", {"next_at": now + wait}
    return {"sent": "sent", "refused": "failed", "gone": "failed", "unknown": "uncertain"}[outcome], {}
