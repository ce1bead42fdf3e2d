"""Excerpts: every run of whole sentences of 25 to 70 words around a passage, and how well each would stand alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.insight.features import lead
from pipeline.insight.injected import to_a_machine
from pipeline.insight.lexicon import ANSWERS, CONNECTIVES, PRONOUNS, STOP
from pipeline.insight.numbers import bare_number
from pipeline.insight.opening import begun, opening, replies
from pipeline.insight.passage import runs, words
from pipeline.insight.title import claim
from pipeline.records import Passage, Sentence, Transcript

MIN_WORDS = 25
MAX_WORDS = 70
REACH = 2
"""An excerpt may begin so many sentences before its passage, or end after it, when that makes it whole."""
READ = 6
"""Excerpts of a passage that the ranker reads again."""
LONGEST = 45
"""Letters of a word; what is longer was not said."""
NO_TITLE, GOOD_TITLE = 1.0, 4.5
"""What `claim` gives a title that claims nothing, and one that reads like a claim."""

_BRACKETED = re.compile(r"\\?[\[(](?:laugh\w*|unintelligible|inaudible|crosstalk|music)", re.IGNORECASE)
_CLOCK = re.compile(r"\\?[\[(]\d{1,2}:\d\d(?::\d\d)?\.?\\?[\])]")
_BACKWARD = re.compile(
    r"^(?:the (?:other|second|third|same|latter|next|last)|another|one of (?:them|those|these)|for example|"
    r"for instance|like i said|as i said|in that case|at that point|after that|same|both|such|not|"
    r"my (?:answer|point)|first of all|second|secondly|thirdly|number (?:two|three|four|five|six|seven|eight|nine|ten)|"
    r"(?:two|three|four),|now back|back to|thank|thanks|welcome)\b",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"\b(?:(?:as|like) (?:you|we|i) (?:said|mentioned|say|were saying|talked)|you (?:just )?(?:said|asked|mentioned)|"
    r"(?:your|good|great) question|we are talking about|i don't know|thank you|this (?:show|podcast|episode))\b",
    re.IGNORECASE,
)
"""Said to the other one in the room."""
_POINTING = re.compile(
    r"\b(?:about|by|for|from|in|like|of|on|than|to|with|without) (?:that|those|these|both)\b(?! who)|\bthat that|"
    r"\b(?:calls?|did|do|does|gets?|gave|gives?|keeps?|makes?|puts?|takes?) that\b|\bin there\b",
    re.IGNORECASE,
)
"""What points to something that the words before it do not name: "without that", "give that up"."""
_REFERRING = re.compile(
    r"\b(?:that|this|those|these) (?:amounts?|approach|cases?|decisions?|ideas?|kinds?|levels?|moments?|parts?|points?|"
    r"problems?|process|questions?|situations?|sorts?|structures?|stuff|things?|types?|ways?)\b"
    r"(?! (?:that|which|who|where))",
    re.IGNORECASE,
)
"""The same anywhere in a first sentence: "need that level of control"."""
_LOUD = re.compile(r"<\s*[a-z/!]|\]\(|\b[a-z][a-z0-9+.-]*://|\b(?:javascript|mailto|data):\S|\bwww\.|\S@\S+\.\w", re.I)
"""Markup, a link or an address: nobody says it, and no mail carries it."""
_OPENS = "\"“‘'(\\[ "
_CUT_OFF = ("-", "—", "–", ",", ":")
_OPEN_ENDS = ("...", "…", "-", "—", ",", ";", ":")
_JOINED, _REPLIED = 0.95, 0.8
"""What a start costs whose first words are left out: "And so", "Yeah, well"."""
_MENDED = 0.5
"""What a start costs that only has to be read past: "Then", "Although" before a whole sentence."""
_FRAGMENT = 3
"""A first or last sentence of so few words ("Not once.", "A shelf.") belongs to what was said before."""
_VAGUELY = 0.75
"""What a start costs whose first sentence speaks of an "it" that it does not name."""
_REST = frozenset(("because", "which", "cause", "'cause", "than"))
"""The rest of a sentence that somebody, or an earlier sentence, began."""
_EARLY = 7
_STANDS_FOR = frozenset(
    (
        "it",
        "it's",
        "its",
        "it'll",
        "them",
        "they",
        "they're",
        "their",
        "he",
        "she",
        "his",
        "her",
        "this",
        "these",
        "those",
    )
)
_DANGLING = 0.45
"""What a start costs that points to something before it: "It", "That's why", "Yeah"."""


def readable(passage: Passage, transcript: Transcript) -> list[tuple[Passage, float]]:
    """The passage's READ excerpts that stand alone best and have the best titles, each with that as 0..1."""
    found = []
    for span in possible(passage, transcript):
        reads = standing(span, transcript)
        if reads:
            found.append((span, reads * titled(span, transcript)))
    return sorted(found, key=lambda f: (-f[1], f[0].first, f[0].last))[:READ]


def titled(span: Passage, transcript: Transcript) -> float:
    """How much an excerpt's title reads like a claim, 0.4..1: what has none is seldom worth a mail."""
    sentences = [sentence.text for sentence in transcript.sentences[span.first : span.last + 1]]
    return 0.4 + 0.6 * min(1.0, max(0.0, (claim(sentences) - NO_TITLE) / (GOOD_TITLE - NO_TITLE)))


def possible(passage: Passage, transcript: Transcript) -> Iterator[Passage]:
    """Runs of whole sentences of 25 to 70 words that share most of their words with the passage."""
    run = next(r for r in runs(transcript) if r[0].number <= passage.first <= r[-1].number)
    low, high = run[0].number, run[-1].number
    sizes = {sentence.number: words(sentence.text) for sentence in run}
    for first in range(max(low, passage.first - REACH), passage.last + 1):
        text = transcript.sentences[first].text
        inside, size = 0, -words(text[: opening(text)])
        for last in range(first, min(high, passage.last + REACH) + 1):
            size += sizes[last]
            inside += sizes[last] if passage.first <= last <= passage.last else 0
            if size > MAX_WORDS:
                break
            if size >= MIN_WORDS and 2 * inside >= size:
                yield Passage(first, last)


def standing(span: Passage, transcript: Transcript) -> float:
    """How well an excerpt stands on its own, 0..1: a factor for each thing that a reader would stumble over."""
    inside = transcript.sentences[span.first : span.last + 1]
    before = transcript.sentences[span.first - 1] if span.first else None
    factor = _start(inside[0]) * _end(inside[-1])
    if before is not None and before.text.rstrip().endswith(_OPEN_ENDS) and before.speaker == inside[0].speaker:
        factor *= 0.8
    if len({sentence.speaker for sentence in inside}) > 1:
        factor *= 0.7
    # A question in the middle turns the talk, to another voice where none are known.
    factor *= 0.75 ** sum(sentence.text.rstrip().endswith("?") for sentence in inside[1:])
    factor *= 0.85 if inside[0].text.rstrip().endswith("?") else 1.0
    factor *= 0.5 if words(inside[0].text) <= _FRAGMENT else 1.0
    factor *= 0.85 if words(inside[-1].text) <= _FRAGMENT else 1.0
    text = " ".join(sentence.text for sentence in inside)
    factor *= 0.7 ** len(_BRACKETED.findall(text))
    # A minute that the transcriber noted: nobody said it.
    factor *= 0.35 ** len(_CLOCK.findall(text))
    factor *= 0.75 ** len(_ADDRESSED.findall(text))
    # Half of what somebody is quoted with.
    factor *= 0.6 if _half_quoted(text) else 1.0
    if (
        _LOUD.search(text)
        or max(map(len, text.split())) > LONGEST
        or any(to_a_machine(sentence.text) for sentence in inside)
    ):
        return 0.0
    size = words(text)
    return factor * (1.0 if size >= 35 else 0.9)


def _half_quoted(text: str) -> bool:
    """Whether a quotation begins before the text or ends after it."""
    marks = [m.start() for m in re.finditer('"', text)]
    turned = any(at and not text[at - 1].isspace() and text[at - 1] not in "([—-" for at in marks[::2])
    return bool(len(marks) % 2) or turned or text.count("“") != text.count("”")


def _start(sentence: Sentence) -> float:
    text = sentence.text.lstrip(_OPENS)
    left_out = opening(sentence.text)
    if text[:1].islower():
        # The rest of what an earlier sentence began, whatever joins them.
        return 0.4
    if left_out:
        return (_REPLIED if replies(sentence.text[:left_out]) else _JOINED) * _begins(begun(sentence.text[left_out:]))
    return _begins(text)


def _begins(text: str) -> float:
    text = text.lstrip(_OPENS)
    first = lead(text)
    rest = text[len(first) :].lstrip(" ,")
    if first in ANSWERS:
        return _DANGLING
    if _BACKWARD.match(text):
        return 0.7
    if first in PRONOUNS or first in _REST:
        return _DANGLING
    if first in CONNECTIVES:
        after = lead(rest)
        return _DANGLING if after in PRONOUNS or after in ANSWERS or after in CONNECTIVES else _MENDED * _names(rest)
    return _names(text)


def _names(text: str) -> float:
    """A factor for a start that speaks of what it does not name."""
    early = " ".join(text.split()[:_EARLY])
    vague = _points_back(text) or _POINTING.search(early) or bare_number(early) or _REFERRING.search(text)
    return _VAGUELY if vague else 1.0


def _points_back(text: str) -> bool:
    """Whether "it", "them" or "those" comes before anything that it could stand for: "I think it's the same",
    "Basically, as they call"."""
    for word in text.split()[:_EARLY]:
        plain = lead(word)
        if plain in _STANDS_FOR:
            return True
        if plain and plain not in STOP and not word.endswith("ly,"):
            return False
    return False


def _end(sentence: Sentence) -> float:
    text = sentence.text.rstrip().rstrip("\"”’')")
    if text.endswith("?"):
        return 0.6
    if text.endswith(_CUT_OFF):
        return 0.3
    return 0.65 if text.endswith(_OPEN_ENDS) else 1.0 if text.endswith((".", "!", "。", "！")) else 0.85
