"""Search: what was typed, what was found, and what limits it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from pipeline.email.render import repeats
from pipeline.records import Sentence, StoredInsight
from pipeline.store import archive, blocks, insights
from pipeline.store.query import Query, parse, spans
from pipeline.store.search import Filters, Spoken, fuse
from pipeline.web.forms import whole
from pipeline.web.site import Site

PAGE = 20
_FIRST = date(1970, 1, 2)
_LAST = date(9999, 1, 1)


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as its address says it."""

    query: Query
    filters: Filters
    since: str
    until: str
    talk: bool
    """Look through transcripts instead of insights."""
    page: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A run of sentences that was found, and the sentence with its first word of the query."""

    spoken: Spoken
    at: Sentence | None


def asked(params: dict[str, str]) -> Asked:
    """Read a search's address. What cannot be read is left out."""
    since, until = _day(params.get("from", "")), _day(params.get("to", ""))
    filters = Filters(
        feed_id=whole(params.get("show", ""), 1, archive.MAX_ID),
        since=_midnight(since) if since else None,
        until=_midnight(until + timedelta(days=1)) if until else None,
    )
    return Asked(
        query=parse(params.get("q", "")),
        filters=filters,
        since=since.isoformat() if since else "",
        until=until.isoformat() if until else "",
        talk=params.get("in") == "talk",
        page=whole(params.get("page", ""), 1, 10) or 1,
    )


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
    return found if found and _FIRST <= found <= _LAST else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def found_insights(conn: Connection, site: Site, a: Asked) -> tuple[list[StoredInsight], frozenset[int], bool]:
    """Insights best first, the ids found by meaning alone, and whether meaning was looked at."""
    by_words = site.index.by_words(conn, a.query, a.filters)
    vector = site.vector(a.query.text) if a.query.terms else None
    near = [i for i, _ in site.index.by_meaning(conn, vector, a.filters)] if vector is not None else []
    order = fuse(by_words, near)
    stored = insights.by_id(conn, order)
    return [stored[i] for i in order if i in stored], frozenset(near) - frozenset(by_words), vector is not None


def heard(conn: Connection, found: list[Spoken], query: Query) -> list[Heard]:
    """Each run with the sentence to start listening at."""
    result = []
    for s in found:
        said = blocks.of_sentences(conn, s.episode_id, s.first, s.last)
        result.append(Heard(s, next((x for x in said if spans(x.text, query)), said[0] if said else None)))
    return result


def search(request: Request) -> Response:
    """The search page, with results when something was asked."""
    site: Site = request.app.state.site
    a = asked(dict(request.query_params))
    found: list[StoredInsight] = []
    talk: list[Heard] = []
    meant: frozenset[int] = frozenset()
    meaning = True
    sounds: dict[int, archive.Sound] = {}
    total = 0
    if a.query.terms:
        site.check_rate(request, "search")
    first = (a.page - 1) * PAGE
    with site.reads() as conn:
        shows = archive.shows(conn)
        if a.talk:
            spoken = site.index.spoken(conn, a.query, a.filters)
            total = len(spoken)
            talk = heard(conn, spoken[first : first + PAGE], a.query)
            sounds = {h.spoken.episode_id: archive.sound(conn, h.spoken.episode_id) for h in talk}
        else:
            found, meant, meaning = found_insights(conn, site, a)
            total = len(found)
    return site.page(
        request,
        "search.html.j2",
        a=a,
        shows=shows,
        found=found[first : first + PAGE],
        meant=meant,
        meaning=meaning,
        talk=talk,
        sounds=sounds,
        repeats=repeats,
        total=total,
        last=min(10, max(1, -(-total // PAGE))),
        params={
            "q": a.query.text,
            "show": a.filters.feed_id or "",
            "from": a.since,
            "to": a.until,
            "in": "talk" if a.talk else "",
        },
    )
