"""A digest as JSON and as a short text. Pure; nothing of the subscriber is in it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from pipeline.clock import iso_z
from pipeline.email.render import clock_time, headline, quoted, repeats, web_link
from pipeline.records import DigestIssue, DigestItem
from pipeline.settings import Settings

SHORT = 1800
"""Characters of a short text: the narrowest of the usual chats takes 2,000."""


def page_of(settings: Settings, insight_id: int) -> str | None:
    """An insight's page, where there are pages for everybody."""
    web = settings.web
    return f"{web.base_url}/i/{insight_id}" if web.base_url and web.public else None


def as_json(issue: DigestIssue, digest_id: int, settings: Settings, kind: str = "digest.ready") -> str:
    """`{type, data: {digest, date, headline, thin, note, insights: [...]}}`."""
    data = {
        "digest": digest_id,
        "date": issue.local_date,
        "headline": headline(len(issue.items)),
        "thin": issue.thin_reason,
        "note": issue.note,
        "insights": [_insight(item, settings) for item in issue.items],
    }
    return json.dumps({"type": kind, "data": data}, ensure_ascii=False, separators=(",", ":"))


def _insight(item: DigestItem, settings: Settings) -> dict[str, Any]:
    i = item.insight
    return {
        "position": item.position,
        "kind": item.kind,
        "reason": item.reason,
        "id": i.id,
        "title": i.title,
        "text": i.text,
        "quote": i.quote,
        "speaker": i.speaker,
        "show": i.show,
        "episode": i.episode,
        "published": iso_z(i.published),
        "start_s": round(i.start_s, 2),
        "end_s": round(i.end_s, 2),
        "topics": list(i.topics),
        "page": page_of(settings, i.id),
        "episode_page": web_link(i.episode_url),
        "writer": i.writer,
        "model": i.model,
    }


def as_short_text(issue: DigestIssue, settings: Settings) -> tuple[str, str]:
    """Title and text for a chat: each insight in two lines, the quotes as far as there is room."""
    day = date.fromisoformat(issue.local_date)
    title = f"{headline(len(issue.items))}: {day:%A}, {day.day} {day:%B}"
    full = [_lines(item, settings, whole=True) for item in issue.items]
    brief = [_lines(item, settings, whole=False) for item in issue.items]
    parts = list(brief)
    for k in range(len(parts)):
        if len("\n\n".join([*parts[:k], full[k], *parts[k + 1 :]])) <= SHORT:
            parts[k] = full[k]
    return title, _cut("\n\n".join(parts), SHORT)


def _lines(item: DigestItem, settings: Settings, *, whole: bool) -> str:
    i = item.insight
    update = "Update: " if item.kind == "update" else ""
    said = quoted(i) if repeats(i) else i.text
    lines = [f"{item.position}. {update}{_cut(i.title, 120)}"]
    if whole:
        lines.append(f"\u201c{said}\u201d" if repeats(i) else said)
    where = f"{_cut(i.show, 60)}, {_cut(i.episode, 80)}, at {clock_time(i.start_s)}"
    lines.append(f"{i.speaker}, {where}" if i.speaker else where)
    link = page_of(settings, i.id) or web_link(i.episode_url)
    if link and len(link) <= 200:
        lines.append(link)
    return "\n".join(lines)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"
