"""Atom feeds of the archive and of a search."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from pipeline.clock import iso_z
from pipeline.email.render import repeats
from pipeline.records import StoredInsight
from pipeline.store import archive as store
from pipeline.web.find import asked, found_insights
from pipeline.web.site import Site
from pipeline.web.words import xml

ENTRIES = 50


def archive(request: Request) -> Response:
    """What digests carried, newest first."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        days = [d.date for d in store.days(conn, limit=20)]
        told = store.of_days(conn, days, limit=ENTRIES * 2)
    first: dict[int, tuple[StoredInsight, str]] = {}
    for day in sorted(told):
        for t in told[day]:
            first.setdefault(t.insight.id, (t.insight, day))
    newest = sorted(first.values(), key=lambda pair: pair[1], reverse=True)[:ENTRIES]
    entries = [(i, datetime.fromisoformat(day).replace(tzinfo=UTC)) for i, day in newest]
    return _feed(request, site, "Podsift: insights with their proof", "/", "/feed.xml", entries)


def search(request: Request) -> Response:
    """What a search finds, newest first."""
    site: Site = request.app.state.site
    site.check_rate(request, "search")
    a = asked(dict(request.query_params))
    with site.reads() as conn:
        found, _, _ = found_insights(conn, site, a) if a.query.terms else ([], frozenset(), False)
    query = urlencode({"q": a.query.text, "show": a.filters.feed_id or "", "from": a.since, "to": a.until})
    entries = [(i, i.published) for i in sorted(found, key=lambda i: i.published, reverse=True)[:ENTRIES]]
    title = f"Podsift: search for {a.query.text}"
    return _feed(request, site, title, f"/search?{query}", f"/search.xml?{query}", entries)


def _feed(
    request: Request, site: Site, title: str, page: str, own: str, entries: Sequence[tuple[StoredInsight, datetime]]
) -> Response:
    updated = max((at for _, at in entries), default=datetime(1970, 1, 1, tzinfo=UTC))
    text = site.text(
        "feed.xml.j2",
        title=title,
        page=site.absolute(request, page),
        own=site.absolute(request, own),
        base=site.absolute(request, ""),
        updated=iso_z(updated),
        entries=[(i, iso_z(at), iso_z(i.published)) for i, at in entries],
        repeats=repeats,
    )
    body = xml(text).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "max-age=300"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/atom+xml", headers=headers)
