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
_FORWARD_SENTENCES = 6
_LONGEST_S = 240.0

_SITE = r"\b(?P<site>[a-z][\w-]{2,})(?:\ dot\ |\.)(?:com|io|co|org|net|dev|ai|fm|app|tv|shop|example)\b"
_SHOW = r"(?:show|podcast|program|programme|episode|series|season|newsletter|part\ of\ the\ show)"

_OPENERS = {
    rf"brought\ to\ you\ (?:today\ |this\ week\ |in\ part\ )?by|{_SHOW}\ possible\ by|made\ possible\ by": 2.0,
    rf"(?:{_SHOW}|podcast|we're|we\ are)(?:\ (?:is|was|are))?\ (?:also\ )?(?:sponsored|supported)\ (?:today\ )?by": 2.5,
    rf"support\ for\ (?:this|our|the|today's)\ {_SHOW}": 2.5,
    r"\bword\ from\ (?:our|today's|this\ week's|one\ of\ our|the)\ (?:sponsors?|partners?|friends)": 3.0,
    r"\b(?:word|message|note)\ (?:from|about)\ (?:our\ (?:friends|partners?|sponsors?)|[A-Z]\w+)": 1.5,
    rf"\b(?:our|today's|this\ week's|this\ {_SHOW}'s|the\ show's)\ (?:\w+\ )?(?:sponsors?|partners?)\b": 1.5,
    r"\bpaid\ (?:message|advertisement|promotion)\b|\bad\ slot\b|\bsponsors\ that\ write\ to\ us\b": 2.5,
    rf"\bthank(?:s|\ you)?\b[^.?!]{{0,60}}\bfor\ (?:supporting|sponsoring)\ (?:us|(?:the|this|our)\ {_SHOW})": 3.0,
    r"\bthank(?:s|\ you)\b[^.?!]{0,20}\bto\ our\ (?:\w+\ )?(?:partners?|sponsors?|friends\ at)\b": 2.0,
    r"\blet\ me\ (?:tell\ you\ about|take\ a\ (?:minute|moment)\ for)\ [A-Z]|^Let's\ thank\ [A-Z]": 1.5,
    r"\b(?:sponsor\ (?:the|this|our)\ show|supporting\ us\ this|(?:have\ |'ve\ )?backed\ us\ since)\b": 2.0,
    rf"\bgood\ friends\ of\ the\ {_SHOW}|\bpartnered\ with\ [A-Z]\w+\ for\ this\ {_SHOW}|\bpeople\ look\ after\ us\b": 3.0,
    r"\bon\ (?:this|our)\ show\ is\ free\ of\ ads|\bwe\ have\ a\ Patreon\b|\bdropped\ advertising\b": 1.5,
}
_OFFERS = {
    r"\b(?:promo|discount|coupon|offer|with\ the|with|use|use\ the|using\ the|using|the|that\ is)\ code\ [A-Z][A-Z0-9]{3,}": 2.5,
    r"^Code\ [A-Z][A-Z0-9]{3,}|\b(?:promo|coupon|discount)\ code\b": 2.0,
    r"\b[A-Z]{5,}\b[^.?!]{0,20}\bat\ [\w-]+(?:\ dot\ |\.)(?:com|io|co)\b": 1.5,
    rf"(?:\b(?:go|head|over|visit|find|check|book|browse|sign|learn|request|try|look|more)\b[^.?!]{{0,50}})(?:{_SITE})": 2.0,
    rf"(?<!@){_SITE.replace('?P<site>', '?:')}": 1.0,
    r"(?:\ dot\ |\.)(?:com|io|co|org|net|dev|ai|fm)(?:\ slash\ |/)\w+|\bThat's\ slash\b": 1.0,
    r"\b(?:percent|dollars|pounds|euros|fifty|half|%)\ off\b|\$\d+\ off|\bhalf\ price\b|\bat\ no\ cost\b": 1.0,
    r"\b(?:days|months?|weeks?|knives|lessons)(?:\ (?:is|are|'s))?\ (?:are\ )?(?:free|on\ them)\b|\bfirst\ \w+'s\ free\b": 1.5,
    r"\bfree\ (?:trial|tier|shipping|forever|for\ open\ source|first\ box)\b|\bfor\ free\ at\b": 1.0,
    r"\blisteners\ (?:get|receive|save|can\ get)\b|\b(?:for|offering)\ (?:our\ )?listeners\b|\blisten\ to\ the\ show\ and\b": 1.5,
    r"\buse\ (?:our|the)\ link\b|\btell\ them\ (?:that\ )?we\ sent\ you\b|\bmention\ this\ (?:show|podcast|programme)\b": 2.0,
    r"\bterms\ (?:and\ conditions\ )?apply\b|\bresults\ (?:may\ )?vary\b|\bcancel\ (?:at\ )?any\ ?time\b": 1.5,
    r"\bnot\ (?:medical|investment|financial)\ advice\b|\bno\ (?:credit\ )?card\ (?:needed|required)\b|\bfree\ to\ look\ at\b": 1.0,
    r"\blink(?:'s|\ is|ed)?\b[^.?!]{0,20}\b(?:the|our|show)\ (?:show\ )?(?:notes|description|homepage)\b": 1.0,
    r"\b(?:pre-orders?|tickets\ are|orders\ close|the\ shop\ is|wherever\ you\ are\ hearing|press\ follow)\b": 1.5,
    r"\b(?:the\ episodes?\ a\ day\ early|bonus\ episode|private\ feed|paid\ version|join\ on\ our\ website)\b": 1.5,
    r"\b(?:gave\ us\ a\ discount|sent\ us\ (?:both|the)\b|they're\ hiring|plans\ (?:begin|start)\ at)\b": 1.0,
}
_LEAD_IN = re.compile(
    r"\b(?:hold\ that\ thought|quick\ (?:thing|break|word)|short\ break|but\ first|right\ back|before\ we\ (?:go|get|start)"
    r"|one\ more\ thing|a\ word\ from|and\ now,\ a)\b".replace("\\ ", " "),
    re.IGNORECASE,
)
_RETURN = re.compile(
    r"^(?:(?:and|okay|ok|alright|all right|so|now|right|sermon over)[,.]? )*(?:let's get )?"
    r"(?:back (?:to|with)\b|we(?:'re| are) back\b|welcome back\b)",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\b(?:by|about|from|to|at|thank|for|with|This is|with the)\s+(?:the\s+)?(?P<name>[A-Z][\w-]{3,})")
_COMMON = frozenset({"this", "that", "their", "they", "with", "listeners", "patreon", "thanks", "google", "github"})


@dataclass(frozen=True, slots=True)
class _Signals:
    points: float
    opens: bool
    names: frozenset[str]


def _compile(table: dict[str, float]) -> tuple[tuple[re.Pattern[str], float], ...]:
    return tuple(
        (
            re.compile(
                pattern.replace("\\ ", " ").replace("[A-Z]", "(?-i:[A-Z])").replace("[A-Z0-9]", "(?-i:[A-Z0-9])"),
                re.IGNORECASE,
            ),
            points,
        )
        for pattern, points in table.items()
    )


_OPENER_PATTERNS, _OFFER_PATTERNS = _compile(_OPENERS), _compile(_OFFERS)
_SITE_PATTERN = re.compile(_SITE.replace("\\ ", " "), re.IGNORECASE)


def mark(sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """The same sentences with `mark="sponsor"` on those of sponsor reads."""
    marked = {n for first, last in spans(sentences) for n in range(first, last + 1)}
    return tuple(replace(s, mark=MARK) if n in marked else s for n, s in enumerate(sentences))


def spans(sentences: Sequence[Sentence]) -> list[tuple[int, int]]:
    """First and last index of each sponsor read."""
    signals = {n: found for n, s in enumerate(sentences) if (found := _signals(s.text)).points}
    found: list[tuple[int, int]] = []
    for cluster in _clusters(sentences, sorted(signals)):
        if sum(signals[n].points for n in cluster) >= _NEEDED:
            first, last = _grown(sentences, cluster, signals)
            if found and first <= found[-1][1] + 1:
                first = found.pop()[0]
            found.append((first, last))
    return found


def _signals(text: str) -> _Signals:
    opening = sum(points for pattern, points in _OPENER_PATTERNS if pattern.search(text))
    offering = sum(points for pattern, points in _OFFER_PATTERNS if pattern.search(text))
    names: set[str] = set()
    if opening or offering:
        names = {match.group("site").casefold() for match in _SITE_PATTERN.finditer(text)}
        names |= {match.group("name").casefold() for match in _NAMED.finditer(text)} if opening else set()
    return _Signals(opening + offering, opening > 0, frozenset(names - _COMMON))


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
    if not signals[first].opens:
        reach = range(first - 1, max(-1, first - 1 - _BACK_SENTENCES), -1)
        for n in reach:
            if sentences[first].start - sentences[n].end > _BACK_S or _RETURN.search(sentences[n].text):
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
