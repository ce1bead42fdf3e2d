"""A day's digest as Markdown, the way note programs such as Obsidian like it: properties, tags, quotes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date

from pipeline.channel.issue import page_of
from pipeline.email.render import clock_time, headline, quoted, repeats, web_link
from pipeline.records import DigestIssue, DigestItem
from pipeline.settings import Settings

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$^=%!&])")
_NOT_TAG = re.compile(r"[^\w/-]+")


def plain(text: str) -> str:
    """Text of a feed or transcript as one line in which nothing is markup, link, tag, comment or formula."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _SPECIAL.sub(r"\\\1", line)


def tag(text: str) -> str | None:
    """A topic as a tag: letters, digits, `-`, `_`; None when only digits are left, which is no tag in Obsidian."""
    made = _NOT_TAG.sub("-", " ".join(text.split()).casefold()).replace("/", "-").strip("-")
    return made if any(not c.isdecimal() and c not in "-_" for c in made) else None


def file_name(issue_date: str) -> str:
    """The name of a day's file; ISO dates sort by themselves."""
    return f"{issue_date} Podsift.md"


def as_markdown(issue: DigestIssue, settings: Settings) -> str:
    """The digest with YAML properties in front. The same digest gives the same text."""
    day = date.fromisoformat(issue.local_date)
    tags = dict.fromkeys(t for item in issue.items for topic in item.insight.topics if (t := tag(topic)))
    shows = dict.fromkeys(item.insight.show for item in issue.items)
    lines = ["---", f"date: {day.isoformat()}", "tags:", "  - podsift", *(f"  - {t}" for t in tags)]
    # JSON strings are YAML strings too, whatever they hold.
    lines += ["shows:", *(f"  - {_yaml(s)}" for s in shows)] if shows else []
    lines += ["---", "", f"# {headline(len(issue.items))}: {day:%A}, {day.day} {day:%B %Y}", ""]
    for said in (issue.thin_reason, issue.note):
        if said:
            lines += [plain(said), ""]
    for item in issue.items:
        lines += _insight(item, settings)
    return "\n".join(lines).rstrip("\n") + "\n"


def _yaml(text: str) -> str:
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _insight(item: DigestItem, settings: Settings) -> Sequence[str]:
    i = item.insight
    lines = [f"## {item.position}. {'Update: ' if item.kind == 'update' else ''}{plain(i.title)}", ""]
    if item.reason:
        lines += [plain(item.reason), ""]
    if not repeats(i):
        lines += [plain(i.text), ""]
    lines += [f"> \u201c{plain(quoted(i))}\u201d", ">"]
    episode = plain(i.episode)
    link = web_link(i.episode_url)
    named = f"[{episode}](<{_address(link)}>)" if link else episode
    speaker = f"**{plain(i.speaker)}**, " if i.speaker else ""
    lines += [f"> {speaker}{plain(i.show)}: {named}, at {clock_time(i.start_s)}", ""]
    page = page_of(settings, i.id)
    if page:
        lines += [f"[Listen and read on](<{_address(page)}>)", ""]
    return lines


def _address(url: str) -> str:
    return "".join(c for c in url if c.isprintable() and c not in "<>\\ ")
