"""RSS 2.0 of the five, without audio: a subscriber's own behind a signed link, and what everybody's digests carried."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipeline.channel.issue import page_of
from pipeline.channel.markdown import as_markdown, file_name
from pipeline.email import tokens
from pipeline.email.render import repeats, web_link
from pipeline.errors import NotFoundError
from pipeline.records import DigestIssue, DigestItem
from pipeline.store import archive, digests
from pipeline.web.people import known
from pipeline.web.site import Site
from pipeline.web.words import xml

DAYS = 14
Entry = tuple[DigestItem, str, str | None, str]
"""(item, guid, link, RFC 2822 date)."""


def everybody(request: Request) -> Response:
    """What the digests of the last days carried, newest day first."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        days = [d.date for d in archive.days(conn, limit=DAYS)]
        told = archive.of_days(conn, days, limit=DAYS * 10)
    # An insight that comes to other people a day later is no news to this feed's readers: its first day counts.
    first: dict[int, Entry] = {}
    for day in sorted(days):
        at = format_datetime(datetime.combine(date.fromisoformat(day), time(), UTC))
        for k, t in enumerate(told[day], 1):
            link = page_of(site.settings, t.insight.id) or site.absolute(request, f"/i/{t.insight.id}")
            guid = f"podsift-insight-{t.insight.id}"
            first.setdefault(t.insight.id, (DigestItem(k, t.insight, t.kind, t.reason), guid, link, at))
    entries = list(first.values())[::-1]
    return _feed(request, "Podsift: the five of each day", "/", "/rss.xml", entries)


def own(request: Request) -> Response:
    """A subscriber's digests, each insight an item, for a feed reader instead of mail."""
    site: Site = request.app.state.site
    said = tokens.read(site.settings, "feed", request.path_params["token"])
    with site.reads() as conn:
        who = known(conn, said)
        if who is None:
            raise NotFoundError("This feed is not there any more", why="its link was replaced, or the person left")
        found = [(digests.issue(conn, i), digests.get(conn, i)) for i in digests.of_subscriber(conn, who.id, DAYS)]
    entries: list[Entry] = []
    for issue, row in found:
        at = format_datetime(row["built_at"])
        for item in issue.items:
            link = page_of(site.settings, item.insight.id) or web_link(item.insight.episode_url)
            entries.append((item, f"podsift-digest-{row['id']}-{item.insight.id}", link, at))
    path = f"/r/{request.path_params['token']}"
    return _feed(request, "Podsift: your digest", "/", path, entries)


def _feed(request: Request, title: str, page: str, path: str, entries: Sequence[Entry]) -> Response:
    site: Site = request.app.state.site
    text = site.text(
        "rss.xml.j2",
        title=title,
        about="Insights from podcasts, each with the words that prove it. No audio.",
        page=site.absolute(request, page),
        own=site.absolute(request, path),
        updated=entries[0][3] if entries else format_datetime(datetime(1970, 1, 1, tzinfo=UTC)),
        entries=entries,
        repeats=repeats,
    )
    body = xml(text).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "max-age=300"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/rss+xml", headers=headers)


def day_markdown(request: Request) -> Response:
    """A day of the archive as a Markdown file for a folder of notes."""
    site: Site = request.app.state.site
    try:
        day = date.fromisoformat(request.path_params["day"]) if len(request.path_params["day"]) == 10 else None
    except ValueError:
        day = None
    if day is None:
        raise HTTPException(404)
    with site.reads() as conn:
        told = archive.of_days(conn, [day.isoformat()])[day.isoformat()]
    if not told:
        raise NotFoundError("No digest was sent on that day", why="days with digests are in the archive")
    items = tuple(DigestItem(k, t.insight, t.kind, t.reason) for k, t in enumerate(told, 1))
    text = as_markdown(DigestIssue(day.isoformat(), items, len(items), len(items), 0), site.settings)
    headers = {"Content-Disposition": f'attachment; filename="{file_name(day.isoformat())}"'}
    return PlainTextResponse(text, media_type="text/markdown", headers=headers)
