"""What a day's digest would have been with other weights, from what is stored. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sqlalchemy import Connection

from pipeline.digest.pool import settled
from pipeline.digest.select import SameIdea, Selection, select
from pipeline.errors import UsageError
from pipeline.records import Subscriber
from pipeline.schedule import at_local
from pipeline.settings import Settings
from pipeline.store import digests, insights, links
from pipeline.store.insights import Candidate

LEAST, MOST = 0.0, 10.0
_WEIGHT = re.compile(r"(writer|show|topic):(.{1,200})=(\d{1,2}(?:\.\d{1,4})?)")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What would have been chosen, and the ids of what was sent that day (empty when nothing was)."""

    selection: Selection
    sent: tuple[int, ...]


def parse_weights(texts: Sequence[str]) -> dict[tuple[str, str], float]:
    """`writer:moe=1.2`, `show:The Long Table=0.5` or `topic:health=2` each. Raises UsageError."""
    found: dict[tuple[str, str], float] = {}
    for text in texts:
        match = _WEIGHT.fullmatch(text.strip())
        if match is None or not LEAST <= float(match[3]) <= MOST:
            raise UsageError(
                f"{text!r} is no weight",
                why=f"a weight is writer:, show: or topic:, a name, = and a number from {LEAST:g} to {MOST:g}",
                hint='for example --weight "show:The Long Table=0.5"',
            )
        found[(match[1], match[2].casefold())] = float(match[3])
    return found


def weighed(candidates: Sequence[Candidate], weights: Mapping[tuple[str, str], float]) -> list[Candidate]:
    """Scores times every weight that fits an insight."""
    return [replace(c, insight=replace(c.insight, score=c.insight.score * _factor(c, weights))) for c in candidates]


def _factor(c: Candidate, weights: Mapping[tuple[str, str], float]) -> float:
    i, factor = c.insight, 1.0
    names = [("writer", i.writer), ("show", i.show), *(("topic", t) for t in i.topics)]
    for kind, name in names:
        factor *= weights.get((kind, name.casefold()), 1.0)
    return factor


def replay(
    conn: Connection,
    who: Subscriber,
    day: date,
    settings: Settings,
    same_idea: SameIdea,
    weights: Mapping[tuple[str, str], float],
    floor: float | None = None,
    count: int | None = None,
) -> Replayed:
    """Select as at the subscriber's hour of that day, knowing of the ledger only what was before it."""
    sent = digests.items_of(conn, who.id, day.isoformat())
    at = sent.built_at if sent else at_local(day, who.hour, who.minute, who.time_zone)
    first = not digests.any_before(conn, who.id, at)
    days = settings.digest.first_lookback_days if first else settings.digest.lookback_days
    found = weighed(settled(conn, insights.candidates(conn, at - timedelta(days=days), at)), weights)
    selection = select(
        found,
        insights.had(conn, who.id, before=at),
        who.count if count is None else count,
        settings.digest.floor if floor is None else floor,
        same_idea,
        links.between(conn, [c.insight.id for c in found]),
    )
    return Replayed(selection, sent.insight_ids if sent else ())
