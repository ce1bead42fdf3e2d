"""A digest as HTML and plain text: templates/email, styles inlined, budget 60 KB (Gmail clips near 102 KB)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.filters import do_wordwrap

from pipeline.email.addresses import unsubscribe_mailto
from pipeline.email.links import links
from pipeline.errors import PermanentError
from pipeline.records import DigestIssue, StoredInsight, Subscriber
from pipeline.resources import resource
from pipeline.settings import Settings

MAX_HTML_BYTES = 60_000
_WORDS = {1: "One", 2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Seven", 8: "Eight", 9: "Nine", 10: "Ten"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """Subject, HTML with inlined styles, and plain text."""

    subject: str
    html: str
    text: str


def clock_time(seconds: float) -> str:
    """Position in an episode: `4:07`, `1:02:09`."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def web_link(url: str | None) -> str | None:
    """Only http(s) links of a feed reach a mail."""
    return url if url and url.startswith(("https://", "http://")) else None


@lru_cache(maxsize=1)
def environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(resource("templates") / "email"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters["wordwrap"] = _wrapped
    env.filters["clock_time"] = clock_time
    env.filters["web_link"] = web_link
    env.filters["quoted"] = quoted
    return env


@lru_cache(maxsize=5000)
def _wrapped(text: str, width: int) -> str:
    """Jinja's `wordwrap`; a day's insights are in the mails of many."""
    return do_wordwrap(environment(), text, width)


@lru_cache(maxsize=1)
def inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


_DAYS = {1: "Mon", 2: "Tue", 3: "Wed", 4: "Thu", 5: "Fri", 6: "Sat", 7: "Sun"}


def days_said(days: Sequence[int]) -> str:
    """`every day`, `Mon to Fri`, or the days one by one."""
    if len(set(days)) in (0, 7):
        return "every day"
    return "Mon to Fri" if set(days) == {1, 2, 3, 4, 5} else ", ".join(_DAYS[d] for d in sorted(set(days)))


def quoted(insight: StoredInsight) -> str:
    """The quote as readers see it: where the text is the same without its first words ("And so,"), an ellipsis stands
    for those. The proof is the whole quote."""
    text, quote = insight.text, insight.quote
    same = len(quote) > len(text) > 1 and quote.endswith(text[1:]) and quote[-len(text)].upper() == text[0]
    return f"… {quote[-len(text) :]}" if same else quote


def repeats(insight: StoredInsight) -> bool:
    """Whether text and quote are the same words (the selecting writer), but for the quote's first ones: then the quote
    is shown once, as the proof."""
    return insight.text == insight.quote or quoted(insight) != insight.quote


def headline(n: int) -> str:
    """`Five worth knowing`."""
    return f"{_WORDS.get(n, str(n))} worth knowing" if n else "Nothing new today"


def render(issue: DigestIssue, who: Subscriber, settings: Settings, digest_id: int | None = None) -> Rendered:
    """Render an issue for one subscriber; `digest_id` once it is known, for the link to the digest as it was sent.

    Raises PermanentError above the size budget.
    """
    ours = links(settings, who)
    day = date.fromisoformat(issue.local_date)
    n = len(issue.items)
    subject = f"{issue.items[0].insight.title}" if n else "Nothing new today"
    if n > 1:
        subject += f" (+{n - 1} more)"
    values = {
        "issue": issue,
        "day": f"{day:%A}, {day.day} {day:%B %Y}",
        "headline": headline(n),
        "preheader": " · ".join(i.insight.title for i in issue.items[1:3]),
        "unsubscribe": ours.unsubscribe if ours else unsubscribe_mailto(who, settings),
        "ours": ours,
        "digest_id": digest_id,
        "days": days_said(who.days),
        "who": who,
        "repeats": repeats,
    }
    env = environment()
    html = inliner().inline(env.get_template("digest.html.j2").render(values))
    text = env.get_template("digest.txt.j2").render(values)
    if len(html.encode()) > MAX_HTML_BYTES:
        raise PermanentError(
            "The digest is too large to send", why=f"{len(html.encode())} bytes of HTML, {MAX_HTML_BYTES} allowed"
        )
    return Rendered(subject, html, text)
