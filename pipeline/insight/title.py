"""Makes a title of at most 12 words out of a passage's own words: its clause that reads most like a claim.

A title is always a run of the words of one sentence; only what leads it (fillers, "I think that", "And so") and asides
between commas ("you know") are left off. So it cannot say what nobody said, and `prove` holds by construction. Among
the clauses that read nearly as well, the one nearest in meaning to the whole passage is taken, if vectors are at hand.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.insight import lexicon
from pipeline.insight.clause import is_verb, left_open, main_verb
from pipeline.insight.features import content_words
from pipeline.insight.numbers import bare_number, numbers

MAX_WORDS = 12
MIN_WORDS = 4
COMPARED = 6
"""Clauses whose meaning is looked at, and by how much they may read worse than the best."""
NEARLY = 1.5
CENTRAL = 4.0
"""What a cosine of 1 with the passage is worth. Of 471 passages for which a large model wrote titles, the titles taken
so are nearer to those (mean cosine 0.349 ± 0.009) than by reading alone (0.334; `python -m bench.titles`)."""
Meaning = Callable[[Sequence[str]], NDArray[np.float32]]
"""Unit vectors of texts, shape (texts, dimensions)."""

_LEADS = re.compile(
    r"^(?:(?:and|but|so(?! (?:long|many|much|few|often|far)\b)|or|because|also|then|now|well|yeah|yes|no|right|okay|ok|"
    r"oh|look|listen|again|anyway|actually|basically|honestly|obviously|essentially|ultimately|exactly|sure|like|plus|"
    r"you know|i mean|i guess|in fact|of course|i think|i believe|i feel like|i would say|i'd say|i'll say|"
    r"i would argue|i'd argue|we know|we think|it turns out|turns out|as you know|as i said|like i said|to be honest|"
    r"to me|for me|for example|for instance|at the end of the day|in other words|what i've found is|what we found is|"
    r"the thing is|the fact is|the reality is|the truth is|the point is|the answer is|my point is|i always say|"
    r"i like to say|which means|that's because|it's because|the reason is|this means|so that|you see|first of all|"
    r"secondly|by the way|i've learned|i learned|i found|i've found|i realized|we realized|we found|we learned|as well)"
    r"(?:,? that(?= (?:the|a|an|we|you|i|it|they|people|there|if|when|most|every|your|our|my)\b))?(?:,|\s|$)\s*)+",
    re.IGNORECASE,
)
_CUTS = {
    "and": 0.9, "but": 0.6, "so": 0.6, "because": 0.5, "which": 0.6, "where": 0.9, "while": 0.9, "although": 0.9,
    "though": 0.9, "whereas": 0.9, "since": 2.0, "in": 2.4, "on": 2.4, "at": 2.4, "before": 2.2, "after": 2.2,
    "through": 2.4, "when": 1.2,
}  # fmt: skip
"""What a long clause may be cut before, and what that costs it. Never before that, than, if, unless, until, without or
only: the rest would say something else."""
_PLACES = frozenset(("in", "on", "at", "before", "after", "through", "since"))
_CONDITIONS = frozenset(("if", "unless", "until", "without", "except", "only", "than"))
_ASIDE = re.compile(
    r",? (?:you know|i think|i mean|i guess|i believe|i would say|it turns out|of course|in my opinion|if you will|"
    r"so to speak|as you know|as i said|obviously|basically|essentially|honestly|let's say),(?= )",
    re.IGNORECASE,
)
"""Said between commas; without it the sentence says the same."""
_GERUND_TAIL = re.compile(r", (?:and|or|so) \w+ing\b(?!.*,)")
_TRAIL = re.compile(
    r",? (?:obviously|essentially|honestly|basically|anyway|anyways|you know|for sure|and so on|right)[,.]?$", re.I
)
_THEN = re.compile(r", then\b", re.IGNORECASE)
_COUNTED = frozenset(
    ("the", word)
    for word in ("first", "second", "third", "fourth", "other", "others", "rest", "latter", "same", "last")
)
"""The rest of a list that the reader has not seen."""
_HALVES = frozenset((("the", "more"), ("the", "less"), ("even", "though"), ("even", "if")))
_STUMBLES = frozenset(
    (
        ("that", "if"),
        ("that", "when"),
        ("is", "if"),
        ("is", "when"),
        ("is", "is"),
        ("the", "the"),
        ("to", "to"),
        ("that", "that"),
        ("a", "a"),
        ("and", "so"),
        ("is", "like"),
        ("was", "like"),
        ("of", "like"),
    )
)
_SHOWN = re.compile(
    r"^(?:you (?:\w+ )?(?:look|see|take|think about|imagine)\b|think about|look at|imagine|picture|give or take|take a|"
    r"take the|say you|let's|notice how|remember when)\b",
    re.IGNORECASE,
)
"""Said to make somebody look; what it is about comes after."""
_EMPTY = re.compile(
    r"\b(?:thank|thanks|welcome|podcast|episode|sponsor|listeners|question|talk about|talking about|great to|"
    r"interesting|awesome|cool|laugh\w*|you know|kind of|sort of|i mean|i guess|i don't know|i'm not sure|"
    r"stuff|things like that|whatever|either|and so on|blah|whole thing|that kind|or something|let me|i remember|i was|"
    r"i'm|i have|i had|i've)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"^(?:\w+ )?(?:if|unless|when|until|without|once|while|even|whether)\b", re.IGNORECASE)
_DENIAL = re.compile(r"\b(?:not|never|no|nobody|if|whether|unless|hardly)$|n['’]t$", re.IGNORECASE)
_ENDED = re.compile(r"(?:\.\.\.|[a-z]{2}[.!?])[\"”’]?$")
_QUOTED = re.compile(r"[.!?][\"”]$")
"""The end of a quotation is the end of a sentence, even where no segment ends."""
_BRACKETS = re.compile(r"\\?[\[(][^\])]{0,60}[\])]")
_DASH = re.compile(r"\s+[-–—]+\s+|--|[—–](?=\s)|(?<=\s)[—–]")


@dataclass(frozen=True, slots=True)
class _Candidate:
    words: tuple[str, ...]
    cost: float
    """Of the places where it begins and ends: 0 for a whole sentence, fillers aside."""
    opens: bool
    """Begins where its sentence does."""
    asks: bool


def title_of(sentences: Sequence[str], meaning: Meaning | None = None) -> str:
    """A title of 1 to 12 words from a passage's sentences; capitalised, no end mark. Never empty for real words."""
    rated = _rated(sentences)
    if not rated:
        return _finish(" ".join(sentences).split()[:MAX_WORDS])
    if meaning is None or len(rated) == 1:
        return rated[0][1]
    near = [(value, text) for value, text in rated[:COMPARED] if value >= rated[0][0] - NEARLY]
    vectors = meaning([" ".join(sentences), *(text for _, text in near)])
    central = vectors[1:] @ vectors[0]
    return max(zip(near, central, strict=True), key=lambda n: n[0][0] + CENTRAL * float(n[1]))[0][1]


def claim(sentences: Sequence[str]) -> float:
    """How much the best title reads like a claim: about 4 for a good one, 2 or less for a poor one."""
    rated = _rated(sentences)
    return rated[0][0] if rated else 0.0


def _rated(sentences: Sequence[str]) -> list[tuple[float, str]]:
    """Every title that can be made, best first, each with how it reads; of equals the earlier and longer one first."""
    counts = Counter(word for word in content_words(" ".join(sentences)) if not numbers(word))
    rated = [
        (_rate(candidate, counts), -place, candidate)
        for place, sentence in enumerate(sentences)
        for candidate in _candidates(sentence)
    ]
    rated.sort(key=lambda r: (r[0], r[1], len(r[2].words)), reverse=True)
    best: dict[str, float] = {}
    for value, _, candidate in rated:
        best.setdefault(_finish(candidate.words), value)
    return [(value, text) for text, value in best.items()]


def _candidates(sentence: str) -> list[_Candidate]:
    """Every run of up to 12 words that begins at a clause and ends where it may be cut."""
    words = _ASIDE.sub("", _DASH.sub("; ", _BRACKETS.sub(" ", html.unescape(sentence)))).split()
    asks = sentence.rstrip().endswith("?")
    found: dict[tuple[str, ...], _Candidate] = {}
    for start, start_cost in _starts(words):
        rest = _LEADS.sub("", " ".join(words[start:])).split()
        for end in range(2, min(MAX_WORDS, len(rest)) + 1):
            if _QUOTED.search(rest[end - 2]):
                break
            closed = end == len(rest) or rest[end - 1][-1] in ",;:.…"
            if not closed and (end < MIN_WORDS or rest[end].lower() not in _CUTS):
                continue
            if end < len(rest) and (_qualified(rest[end : end + 2]) or _hangs(rest[:end], rest[end])):
                continue
            end_cost = 0.0 if end == len(rest) else 0.3 if closed else _CUTS[rest[end].lower()]
            run = tuple(rest[:end])
            if run not in found or found[run].cost > start_cost + end_cost:
                found[run] = _Candidate(run, start_cost + end_cost, not start, asks)
    return list(found.values())


def _qualified(following: Sequence[str]) -> bool:
    """Whether what follows takes back a part of what was said, or is what somebody said: "it works, | up until", "it is
    fast | unless", "you can go, | 'Oh'"."""
    if following[0][0] in '"“':
        return True
    plain = [re.sub(r"[^\w'’-]", "", word).lower() for word in following]
    return plain[0] in _CONDITIONS or (plain[0] in ("up", "even", "but", "and") and plain[-1] in _CONDITIONS)


def _hangs(words: Sequence[str], following: str) -> bool:
    """Whether the last word waits for the place that follows: "by looking | at", "well understood | in"."""
    last = re.sub(r"[^\w'’-]", "", words[-1]).lower()
    return following.lower() in _PLACES and (
        last.endswith(("ing", "ed", "ly")) or last in lexicon.PRESENT or last in lexicon.PAST or len(words) < 6
    )


def _starts(words: Sequence[str]) -> list[tuple[int, float]]:
    """Where a clause begins, and what beginning there costs."""
    starts = [(0, 0.0)] if words else []
    clause = 0
    for i in range(1, len(words)):
        before, word = words[i - 1], words[i].lower()
        # "I don't think that it works", "not because it is cheap", "if it rains, we stay": the rest alone would lie.
        denied = any(_DENIAL.search(w) for w in words[max(clause, i - 5) : i])
        conditional = _CONDITION.match(" ".join(words[clause : clause + 2])) is not None
        if before[-1] in ",;:…" or _ENDED.search(before):
            clause = i
        if before[-1] in ";:…" or _ENDED.search(before):
            starts.append((i, 0.2))
        elif before[-1] == ",":
            if conditional:
                continue
            starts.append((i, 0.2 if word in lexicon.JOINS else 0.4 if word in lexicon.SUBJECTS else 1.4))
        elif denied:
            continue
        elif before.lower() == "that" and i > 1 and words[i - 2].lower() in lexicon.SAYING:
            starts.append((i, 0.1))
        elif word in lexicon.JOINS and word != "and" and i + MIN_WORDS < len(words):
            starts.append((i, 0.5))
    return starts


def _rate(candidate: _Candidate, counts: Counter[str]) -> float:
    plain = [re.sub(r"[^\w'’-]", "", word).lower().replace("’", "'") for word in candidate.words]
    kept = [i for i, word in enumerate(plain) if word]
    raw = [candidate.words[i] for i in kept]
    plain = [plain[i] for i in kept]
    if len(plain) < 2:
        return -9.0
    first, last = plain[0], plain[-1]
    verb = main_verb(plain)
    return (
        _grammar(candidate, raw, plain, verb)
        + _substance(raw, plain, verb, counts)
        - candidate.cost
        - (2.5 if last in lexicon.LOOSE_ENDS else 0.0)
        - (2.0 if candidate.asks else 0.0)
        - 1.0 * len(_EMPTY.findall(" ".join(plain)))
        - (3.0 if _SHOWN.match(" ".join(plain)) else 0.0)
        - (3.0 if plain[: len(plain) // 2] == plain[(len(plain) + 1) // 2 :] else 0.0)
        - 0.3 * max(0, 6 - len(plain))
        - (1.0 if first in lexicon.PERSONAL else 0.0)
    )


def _grammar(candidate: _Candidate, raw: Sequence[str], plain: Sequence[str], verb: int | None) -> float:
    """What a reader would stumble over: no verb, a clause left open, a list before the verb, half a quotation."""
    first = plain[0]
    imperative = candidate.opens and first in lexicon.IMPERATIVES and plain[1] not in ("of", "to", "and", "is", "are")
    contracted = verb == 0 and "'" in first
    claims = imperative or contracted or (verb is not None and verb > 0)
    value = 1.2 if claims else -2.5
    value += 0.3 if imperative else 0.0
    if verb and not imperative:
        # "Very reliable, that ran", "Having done it, so we know": what stands before the verb is no subject.
        commas = sum(word.endswith((",", ";", ":")) for word in raw[:verb])
        conditional = first in lexicon.SUBORDINATE or _CONDITION.match(" ".join(plain[:2])) is not None
        value -= 0.0 if not commas or conditional else 2.5
        # A rule stands in the present, a story in the past.
        value += 0.5 if plain[verb] in lexicon.PRESENT or "'" in plain[verb] else -0.5
    value -= 3.0 if left_open(plain) else 0.0
    value -= 1.0 if first in lexicon.HEDGES else 0.0
    value -= 1.0 if plain[1] in lexicon.VAGUE and (first.endswith("ly") or first in lexicon.HEDGES) else 0.0
    # "X is stronger, then Y is": the rest of "because" or "if".
    value -= 2.5 if _THEN.search(" ".join(raw)) and first not in lexicon.SUBORDINATE else 0.0
    value -= 1.5 if _GERUND_TAIL.search(" ".join(raw)) else 0.0
    value -= 1.2 if first in lexicon.PREPOSITIONS else 0.0
    value -= 0.5 if first.endswith("ing") and not first.endswith("thing") else 0.0
    if first in lexicon.SUBORDINATE or tuple(plain[:2]) in _HALVES:
        value -= 0.0 if _goes_on(raw, plain) else 4.0
    value -= 1.0 if raw[-1].endswith(("...", "…", "-")) else 0.0
    value -= 1.0 if any(word[-1] in ".…!?:;" for word in raw[:-1]) else 0.0
    whole = " ".join(raw)
    value -= 1.5 if whole.count('"') % 2 or whole.count("“") != whole.count("”") else 0.0
    value -= 1.5 * sum((one, two) in _STUMBLES for one, two in pairwise(plain))
    return value


def _substance(raw: Sequence[str], plain: Sequence[str], verb: int | None, counts: Counter[str]) -> float:
    """How much the words say by themselves, and say of what the passage is about."""
    first = plain[0]
    content = {word for word in plain if word not in lexicon.STOP and word not in lexicon.EMPTY_NOUNS}
    value = 2.0 * len(content) / len(plain) if len(content) >= 2 else -0.8
    # Central: its words return in the passage.
    value += 0.5 * min(4, sum(counts[word] > 1 for word in content)) + 0.3 * min(len(content), 7)
    value += 0.35 * min(2, sum(word in lexicon.CLAIM for word in plain))
    value -= 2.2 if first in lexicon.VAGUE else 1.6 if first in lexicon.CONNECTIVES else 0.0
    value -= 0.5 * sum(word in lexicon.VAGUE and word != "that" for word in plain[1:])
    value -= 0.5 * sum(word in lexicon.EMPTY_NOUNS for word in plain)
    value -= 1.5 if bare_number(" ".join(raw)) else 0.0
    value -= 0.4 * sum(word in lexicon.PERSONAL for word in plain[1:])
    value -= 0.4 * sum(word in lexicon.TALK for word in plain)
    value -= 2.0 if tuple(plain[:2]) in _COUNTED or (first == "one" and plain[1] in ("is", "was", "of")) else 0.0
    # "We used to": a story of theirs.
    value -= 0.6 if first == "we" and verb is not None and plain[verb] in lexicon.PAST else 0.0
    # The subject names something: "Storage is", not "We have".
    subject = set(plain[: verb or 0]) & content
    value += 0.5 if subject else 0.0
    return value


def _goes_on(raw: Sequence[str], plain: Sequence[str]) -> bool:
    """Whether a main clause follows: "When the job is old, we refuse new ones"."""
    comma = next((i for i, word in enumerate(raw) if word.endswith(",")), len(raw))
    if comma < len(raw):
        rest = plain[comma + 1 :]
        if rest[:1] in (["and"], ["or"]):  # the condition goes on
            return False
        return comma >= 2 and main_verb(rest) is not None and any(is_verb(plain, i) for i in range(1, comma + 1))
    # "What we need is time", "How you measure matters"
    verbs = [i for i in range(1, len(plain)) if is_verb(plain, i) and not is_verb(plain, i - 1)]
    return plain[0] in ("what", "how", "why", "where") and len(verbs) > 1


def _finish(words: Sequence[str]) -> str:
    text = _TRAIL.sub("", " ".join(words).strip()).strip('"“”').rstrip(" ,;:.…!-–—").lstrip(" ,;:.…-–—")
    if text.count('"') % 2 or text.count("“") != text.count("”"):
        text = re.sub(r'["“”]', "", text)
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]
