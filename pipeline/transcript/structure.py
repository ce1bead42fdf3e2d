"""What of a transcript is not the talk itself: sponsor reads, greetings, farewells, housekeeping, with the reason.

Pure over what it is given: the sentences, the publisher's chapters, the classifier's odds, the windows of the show's
earlier episodes. Where two reasons meet, a sponsor's read counts before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.insight.embed import Embedder
from pipeline.records import Chapter, Sentence
from pipeline.transcript import offers, pitch, repeat, sponsor
from pipeline.transcript.repeat import Earlier

SPONSOR, INTRO, OUTRO, HOUSEKEEPING = "sponsor", "intro", "outro", "housekeeping"
_RANK = (SPONSOR, HOUSEKEEPING, OUTRO, INTRO)
_OPENING_S = 240.0
_CLOSING_S = 240.0
_EDGE_SHARE = 0.15
"""Greetings are looked for in the first four minutes, and no more than this share of a short episode; so farewells."""
_LONGEST_CHAPTER_S = 300.0
_LONGEST_GREETING_S = 120.0

DOUBTFUL = 0.4
"""Stretches whose odds reach this share of what the classifier wants are put to a language model, if there is one."""
MOST_ASKED = 20

CERTAIN = 3.0
"""Log odds of a stretch, beyond which one kind of offer is enough. None is enough nowhere: scripted talk reaches 20."""
SHORTEST_SENTENCES = 6.0
"""Words a sentence on average; of the 71 reads that the classifier was trained on two are below."""

Ask = Callable[[Sequence[str]], Sequence[float]]
"""log p(Yes) - log p(No) for each text: is it promotion?"""

_CHAPTERS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (SPONSOR, r"^ads?\b|\badvert|\bsponsor(?:s|ed|ship)?\b|\bpromo(?:tion)?\b|\bad[ -]?break\b"),
        (HOUSEKEEPING, r"^(?:housekeeping|announcements?|show news|support the show|shout-?outs?)\b"),
        (INTRO, r"^(?:intro|opening|theme|cold open|welcome)\b(?! to)"),
        (OUTRO, r"^(?:outro|credits|goodbyes?|sign[ -]?off|closing|end credits)\b"),
    )
)
_SHOW = r"(?:show|podcast|episode|series|programme|program)"
_GREETINGS = re.compile(
    r"\bwelcome (?:back )?(?:to|everyone|everybody)\b|(?<!if )\byou(?:'re| are) listening to\b"
    r"|\bi(?:'m| am) your host\b"
    rf"|\bthis is (?-i:[A-Z])[^.?!]*,? (?:the|a|your) (?:\w+ ){{0,3}}{_SHOW}\b"
    r"|^(?:hello|hi|hey),? (?:and welcome|everyone|everybody|folks|listeners)\b"
    r"|\b(?:i'm|i am|we're) joined (?:today |now |again )?by\b|\bmy (?:guest|co-host) (?:today |this week )?is\b"
    rf"|\b(?:on|in) (?:today's|this week's) {_SHOW}\b[^.?!]*\b(?:we|i|you|our)\b"
    r"|\b(?:on|in) this (?:show|podcast|episode),? (?:we|i|you)\b"
    r"|^(?:and )?i(?:'m| am) (?-i:[A-Z]\w+ [A-Z]\w+)\.?$",
    re.IGNORECASE,
)
_FAREWELLS = re.compile(
    r"\bthank(?:s| you)(?: \w+){0,3} for (?:listening|tuning in|watching|joining us|being (?:here|with us))\b"
    r"|\bthat(?:'s| is|'ll be) (?:all|it)(?: we have)? for (?:today|this week|us|now|the show)\b"
    r"|\b(?:see|talk to|catch) you (?:all )?(?:next|in the next)\b|\buntil next (?:time|week|episode)\b"
    rf"|\b(?:this )?{_SHOW} (?:is|was) (?:also )?(?:produced|edited|hosted|recorded|mixed|written) by\b"
    r"|\b(?:theme|our)(?: \w+){0,2} music\b|\bmusic (?:is |was )?by\b|\byou(?:'ve| have) been listening to\b"
    r"|\bgoodbye\b|^bye\b",
    re.IGNORECASE,
)
_HOUSEKEEPING = re.compile(
    r"\b(?:e-?mail|write to|message|call) us (?:at|on|under)\b|\bleave (?:us )?a (?:rating|review|comment|voicemail)\b"
    rf"|\bsubscribe to (?:the|this|our) {_SHOW}\b|\b(?:follow|find|join) us (?:on|at|in) (?!the |this )"
    rf"|(?<!did )(?<!to )\b(?:rate|review)(?: and (?:rate|review))? (?:us|the {_SHOW}|this {_SHOW})\b"
    r"|\bwherever you (?:get|find|listen to) your podcasts\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Marked:
    """Sentences `first..last` (indices, inclusive), the mark that they get and why."""

    first: int
    last: int
    mark: str
    reason: str


def mark(
    sentences: Sequence[Sentence],
    *,
    duration_s: float | None = None,
    chapters: Sequence[Chapter] = (),
    embedder: Embedder | None = None,
    earlier: Sequence[Earlier] = (),
    ask: Ask | None = None,
) -> tuple[tuple[Sentence, ...], bytes | None]:
    """The sentences with marks and reasons, and their windows for the show's next episodes (None without embedder).

    `ask` is put what the classifier is in doubt about.
    """
    if not sentences:
        return (), None
    length_s = duration_s or sentences[-1].end
    found = [*by_chapters(sentences, chapters, length_s), *by_phrases(sentences, length_s)]
    packed = None
    if embedder is not None:
        spans = pitch.windows(sentences)
        texts = [pitch.text_of(sentences, span) for span in spans]
        vectors = pitch.embedded(texts, spans, embedder)
        odds = pitch.Pitch.load().odds(texts, vectors)
        found += by_classifier(sentences, spans, odds)
        mine = repeat.windows(sentences, spans, vectors)
        found += [Marked(*span) for span in repeat.repeated(sentences, mine, earlier, length_s)]
        packed = repeat.pack(repeat.windows(sentences, spans, vectors, every=2))
        if ask is not None:
            found += by_model(sentences, spans, odds, found, ask)
    return applied(sentences, found), packed


def applied(sentences: Sequence[Sentence], found: Sequence[Marked]) -> tuple[Sentence, ...]:
    """Marks written to sentences; several reasons of the winning mark are joined by `; `."""
    by_sentence: list[list[Marked]] = [[] for _ in sentences]
    for span in found:
        for n in range(span.first, span.last + 1):
            by_sentence[n].append(span)
    made = []
    for s, spans in zip(sentences, by_sentence, strict=True):
        if spans:
            best = min((span.mark for span in spans), key=_RANK.index)
            reasons = dict.fromkeys(span.reason for span in spans if span.mark == best)
            s = replace(s, mark=best, reason="; ".join(reasons))
        made.append(s)
    return tuple(made)


def by_chapters(sentences: Sequence[Sentence], chapters: Sequence[Chapter], length_s: float) -> list[Marked]:
    """What the publisher's chapters name. A chapter too long to be what its title says is not believed."""
    inside = sorted((c for c in chapters if 0 <= c.start < length_s), key=lambda c: c.start)
    found = []
    for n, chapter in enumerate(inside):
        end = inside[n + 1].start if n + 1 < len(inside) else length_s
        kind = next((kind for kind, pattern in _CHAPTERS if pattern.search(chapter.title)), None)
        longest = _LONGEST_CHAPTER_S if kind in (SPONSOR, HOUSEKEEPING) else _LONGEST_GREETING_S
        at_edge = n == 0 or kind != INTRO
        if kind is None or end - chapter.start > min(longest, length_s / 3) or not at_edge:
            continue
        if kind == OUTRO and end < length_s - _CLOSING_S:
            continue
        held = [i for i, s in enumerate(sentences) if chapter.start - 0.5 <= (s.start + s.end) / 2 < end]
        if held:
            found.append(Marked(held[0], held[-1], kind, f"chapter {' '.join(chapter.title.split())[:60]!r}"))
    return found


def by_phrases(sentences: Sequence[Sentence], length_s: float) -> list[Marked]:
    """Sponsor reads by their phrases; greetings near the beginning, farewells near the end, housekeeping anywhere."""
    found = [Marked(first, last, SPONSOR, "phrases of a read") for first, last in sponsor.spans(sentences)]
    opening_s = min(_OPENING_S, length_s * _EDGE_SHARE)
    closing_s = length_s - min(_CLOSING_S, length_s * _EDGE_SHARE)
    for n, s in enumerate(sentences):
        if s.start <= opening_s and _GREETINGS.search(s.text):
            found.append(Marked(n, n, INTRO, "a greeting near the beginning"))
        if s.end >= closing_s and _FAREWELLS.search(s.text):
            found.append(Marked(n, n, OUTRO, "a farewell or credits near the end"))
        if _HOUSEKEEPING.search(s.text):
            found.append(Marked(n, n, HOUSEKEEPING, "a call to write, follow or review"))
    return found


def by_classifier(sentences: Sequence[Sentence], spans: Sequence[tuple[int, int]], odds: pitch.Array) -> list[Marked]:
    """Stretches that sound like selling; `odds` are those of the windows `spans`."""
    model = pitch.Pitch.load()
    each = pitch.sentence_odds(len(sentences), spans, odds)
    return [
        Marked(first, last, SPONSOR, f"sounds like a read (log odds {votes:.0f})")
        for first, last, votes in pitch.stretches(sentences, each, model.cost)
        if sells(sentences[first : last + 1], votes)
    ]


def sells(sentences: Sequence[Sentence], votes: float) -> bool:
    """Whether a stretch offers enough for its odds, and is no quick talk of several: one person reads, in sentences."""
    words = sum(len(s.text.split()) for s in sentences)
    changes = sum(a.speaker != b.speaker for a, b in pairwise(sentences))
    banter = words < SHORTEST_SENTENCES * len(sentences) or (changes > 2 and changes > len(sentences) / 3)
    needed = 1 if votes >= CERTAIN else 2
    return not banter and offers.kinds(" ".join(s.text for s in sentences)) >= needed


def by_model(
    sentences: Sequence[Sentence],
    spans: Sequence[tuple[int, int]],
    odds: pitch.Array,
    found: Sequence[Marked],
    ask: Ask,
) -> list[Marked]:
    """What the classifier doubts and `ask` calls promotion; at most MOST_ASKED stretches, likeliest first."""
    each = pitch.sentence_odds(len(sentences), spans, odds)
    taken = {n for span in found if span.mark == SPONSOR for n in range(span.first, span.last + 1)}
    doubtful = [
        (votes, first, last)
        for first, last, votes in pitch.stretches(sentences, each, pitch.Pitch.load().cost * DOUBTFUL)
        if taken.isdisjoint(range(first, last + 1))
    ]
    asked = sorted(doubtful, reverse=True)[:MOST_ASKED]
    if not asked:
        return []
    answers = ask([pitch.text_of(sentences, (first, last)) for _, first, last in asked])
    return [
        Marked(first, last, SPONSOR, f"the language model calls it promotion (log odds {yes:.0f})")
        for (_, first, last), yes in zip(asked, answers, strict=True)
        if yes > 0
    ]
