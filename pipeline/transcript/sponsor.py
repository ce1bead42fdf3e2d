"""Sponsor reads: found by what they say, marked `sponsor`, never quoted. Pure; phrases are English.

No single phrase is enough, since guests too name websites and thank people: signals near each other add up. A read that
is found grows to its beginning and its end by the phrases that open and close reads, and by the name that is sold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.records import Sentence

MARK = "sponsor"
_NEEDED = 3.0
"""Points within one cluster. An opening phrase alone gives 2, so does an address with a call to go there."""
_NEAR_SENTENCES = 9
_NEAR_S = 60.0
_BACK_SENTENCES = 12
_BACK_S = 75.0
_FORWARD_SENTENCES = 4
_LONGEST_S = 240.0

_SHOW = r"(?:show|podcast|program|programme|episode|series|season)"
_DOMAIN = r"(?: dot |\.)(?:com|io|co|org|net|dev|ai|fm|app|tv|shop|example)\b"

# Case counts only for the names and codes marked (?-i:...).
_OPENERS = {
    rf"brought to you (?:today |this week |in part )?by|{_SHOW} possible by|made possible by": 2.0,
    rf"(?:{_SHOW}|we're|we are)(?: (?:is|was|are))? (?:also )?(?:sponsored|supported) (?:today )?by": 2.5,
    rf"support for (?:this|our|the|today's) {_SHOW}": 2.5,
    rf"\b(?:funding for this {_SHOW}|(?:additional|further) support (?:comes|is provided|for this {_SHOW}))\b": 3.0,
    rf"\bthis {_SHOW} is part of the (?-i:[A-Z])\w+ (?:network|family)\b": 2.0,
    r"\bword from (?:our|today's|this week's|one of our|the) (?:sponsors?|partners?|friends)": 3.0,
    r"\b(?:word|message) (?:from|about) (?:our (?:friends|partners?|sponsors?)|(?-i:[A-Z])\w+)": 1.5,
    rf"\b(?:our|today's|this week's|this {_SHOW}'s|the show's) (?:\w+ )?sponsors?\b": 1.5,
    r"\bpaid (?:message|advertisement|promotion)\b|\bad slot\b|\bsponsors that (?:write|come) to us\b": 2.5,
    rf"\bthank(?:s|\b you)?\b[^.?!]{{0,60}}\bfor (?:supporting|sponsoring) (?:us|(?:the|this|our) {_SHOW})": 3.0,
    r"\bthank(?:s| you)\b[^.?!]{0,20}\bto our (?:\w+ )?(?:partners?|sponsors?|friends at)\b": 2.0,
    r"\blet me (?:tell you about|take a (?:minute|moment) for) (?-i:[A-Z])|^Let's thank (?-i:[A-Z])": 1.5,
    r"\bsponsor (?:the|this|our) show\b|\bsupporting us this\b|\bbacked us since\b": 2.0,
    rf"\bfriends of the {_SHOW}|\bpartnered with (?-i:[A-Z])\w+ for this {_SHOW}": 3.0,
    r"\bwe have a Patreon\b|\bdropped advertising\b|\bno ads\b": 1.5,
}
_OFFERS = {
    r"\bcode (?-i:[A-Z][A-Z0-9]{3,})|\b(?:promo|coupon|discount) code\b": 2.5,
    r"\b(?:enter|that is) (?-i:[A-Z]{4,})\b|(?-i:[A-Z]{5,})\b[^.?!]{0,20} at [\w-]+ dot ": 1.5,
    r"\b(?:percent|dollars|pounds|euros|fifty|%) off\b|\$\d+ off\b|\bhalf price\b|\bat no cost\b|\ba discount\b": 1.0,
    r"\b(?:days|months?|weeks?)(?:'s| is| are)? (?:for )?free\b|\bfirst \w+(?:'s| is| are) (?:free|on them)\b": 1.5,
    r"\bfree (?:trial|tier|shipping|forever|for open source)\b|\b(?:two|three) \w+ are free\b": 1.0,
    r"\blisteners (?:can )?(?:get|receive|save)\b|\b(?:for|offering) (?:our )?listeners\b": 1.5,
    r"\buse (?:our|the) link\b|\btell them (?:that )?we sent you\b|\bmention this (?:show|podcast|programme)\b": 2.0,
    r"\bterms (?:and conditions )?apply\b|\bresults (?:may )?vary\b|\bcancel (?:at )?any ?time\b": 1.5,
    r"\b(?:void where prohibited|past performance|involves risk|member FDIC|intended to diagnose|offer ends)\b": 1.5,
    r"\b(?:for|only for|to) new customers\b|\bnew customers only\b|\bmore shows like this\b": 1.0,
    r"\bnot (?:medical|investment|financial) advice\b|\bno (?:credit )?card (?:needed|required)\b": 1.0,
    r"\blink(?:'s| is|ed)?\b[^.?!]{0,20}\b(?:the|our|show) (?:show )?(?:notes|description|homepage)\b": 0.5,
    r"\b(?:pre-orders?|tickets are|orders close|wherever you (?:listen|get your podcasts)|press follow)\b": 1.0,
    r"\b(?:a day early|bonus episode|private feed|paid version|\w+ (?:dollars|pounds) a month)\b": 1.0,
    r"\bsent us (?:both|the|a)\b|\bthey're hiring\b|\bplans (?:begin|start) at\b": 1.0,
}
_SITE = re.compile(rf"\b(?P<site>[a-z][\w-]{{2,}}){_DOMAIN}(?P<path>(?: slash |/)\w)?", re.IGNORECASE)
_GO = re.compile(
    r"\b(?:go to|head (?:over )?to|over to|visit|find (?:out|them)|check (?:it|them) out|book it|look at|sign up"
    r"|learn more|at)\b[^.?!]{0,40}$",
    re.IGNORECASE,
)
_SITE_MOST = 2.0
"""Addresses count once a cluster: guests repeat theirs."""
_LEAD_IN = re.compile(
    r"\b(?:hold that thought|quick (?:thing|break|word)|short break|but first|right back|before we (?:go|get|start)"
    r"|one more thing|a word from|in just a moment)\b",
    re.IGNORECASE,
)
_RETURN = re.compile(
    r"^(?:(?:and|okay|ok|alright|all right|so|now|right)[,.]? )*(?:let's get )?"
    r"(?:back (?:to|with)\b|we(?:'re| are) back\b|welcome back\b)",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\b(?:by|about|from|to|at|thank|for|with|This is|with the)\s+(?:the\s+)?(?P<name>[A-Z][\w-]{3,})")
_COMMON = frozenset({"this", "that", "their", "they", "with", "listeners", "patreon", "thanks", "google", "github"})


@dataclass(frozen=True, slots=True)
class _Signals:
    points: float
    site: float
    opens: bool
    names: frozenset[str]


def _compiled(table: dict[str, float]) -> tuple[tuple[re.Pattern[str], float], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), points) for pattern, points in table.items())


_OPENER_PATTERNS, _OFFER_PATTERNS = _compiled(_OPENERS), _compiled(_OFFERS)


def mark(sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """The same sentences with `mark="sponsor"` on those of sponsor reads."""
    marked = {n for first, last in spans(sentences) for n in range(first, last + 1)}
    return tuple(replace(s, mark=MARK) if n in marked else s for n, s in enumerate(sentences))


def spans(sentences: Sequence[Sentence]) -> list[tuple[int, int]]:
    """First and last index of each sponsor read."""
    signals = {n: hit for n, s in enumerate(sentences) if (hit := _signals(s.text)).points or hit.site}
    found: list[tuple[int, int]] = []
    for cluster in _clusters(sentences, sorted(signals)):
        points = sum(signals[n].points for n in cluster)
        if points and points + min(_SITE_MOST, sum(signals[n].site for n in cluster)) >= _NEEDED:
            first, last = _grown(sentences, cluster, signals)
            if found and first <= found[-1][1] + 1:
                first = found.pop()[0]
            found.append((first, last))
    return found


def _signals(text: str) -> _Signals:
    opening = sum(points for pattern, points in _OPENER_PATTERNS if pattern.search(text))
    offering = sum(points for pattern, points in _OFFER_PATTERNS if pattern.search(text))
    names: set[str] = set()
    site = 0.0
    for match in _SITE.finditer(text):
        names.add(match.group("site").casefold())
        called = match.group("path") is not None or _GO.search(text[: match.start()])
        site = max(site, 2.0 if called else 1.0)
    if opening:
        names |= {match.group("name").casefold() for match in _NAMED.finditer(text)}
    return _Signals(opening + offering, site, opening > 0, frozenset(names - _COMMON))


def _clusters(sentences: Sequence[Sentence], hits: Sequence[int]) -> list[list[int]]:
    """Hits so near to each other that they may belong to one read, with no return to the talk between them."""
    clusters: list[list[int]] = []
    for n in hits:
        if clusters:
            last = clusters[-1][-1]
            near = n - last <= _NEAR_SENTENCES and sentences[n].start - sentences[last].end <= _NEAR_S
            short = sentences[n].end - sentences[clusters[-1][0]].start <= _LONGEST_S
            returned = any(_RETURN.search(sentences[m].text) for m in range(last + 1, n + 1))
            if near and short and not returned:
                clusters[-1].append(n)
                continue
        clusters.append([n])
    return clusters


def _grown(sentences: Sequence[Sentence], cluster: list[int], signals: dict[int, _Signals]) -> tuple[int, int]:
    first, last = cluster[0], cluster[-1]
    names = frozenset().union(*(signals[n].names for n in cluster))
    hit = first
    for n in range(hit - 1, max(-1, hit - 1 - _BACK_SENTENCES), -1):
        if sentences[hit].start - sentences[n].end > _BACK_S or _RETURN.search(sentences[n].text):
            break
        if _mentions(sentences[n].text, names):
            first = n
    for n in range(first - 1, max(-1, first - 3), -1):
        if _LEAD_IN.search(sentences[n].text):
            first = n
    end = min(len(sentences), last + 1 + _FORWARD_SENTENCES)
    for n in range(last + 1, end):
        if _RETURN.search(sentences[n].text):
            # Between the last signal and the way back there is only more of the read.
            last = n - 1
            break
        if _mentions(sentences[n].text, names):
            last = n
    return first, last


def _mentions(text: str, names: frozenset[str]) -> bool:
    """Whether a capitalised word is one of the names, or begins an address (`Brindle` of brindleandmoss.com)."""
    return any(
        name == word or (len(word) >= 5 and name.startswith(word))
        for word in (match.casefold() for match in re.findall(r"\b[A-Z][\w-]{3,}", text))
        for name in names
        if word not in _COMMON
    )
