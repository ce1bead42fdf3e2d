"""Makes a title of at most 12 words out of a passage's own words: its clause that reads most like a claim.

A title is always a run of neighbouring words of one sentence; only what leads it (fillers, "I think that", "And so") is
left off. So it cannot say what nobody said, and `prove` holds by construction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.insight.features import ANSWERS, CONNECTIVES, STOP, content_words
from pipeline.insight.numbers import numbers

MAX_WORDS = 12
MIN_WORDS = 4

_LEADS = re.compile(
    r"^(?:(?:and|but|so|or|because|also|then|now|well|yeah|yes|no|right|okay|ok|oh|look|listen|again|anyway|actually|basically|"
    r"honestly|obviously|essentially|ultimately|exactly|sure|like|plus|you know|i mean|i guess|in fact|of course|i think|"
    r"i believe|i feel like|i would say|i'd say|i'll say|i would argue|i'd argue|we know|we think|it turns out|turns out|"
    r"as you know|as i said|like i said|to be honest|to me|for me|for example|for instance|at the end of the day|"
    r"in other words|what i've found is|what we found is|the thing is|the fact is|the reality is|the truth is|the point is|"
    r"the answer is|my point is|i always say|i like to say|which means|"
    r"that's because|it's because|the reason is|this means|so that|you see|first of all|secondly|by the way|"
    r"i've learned|i learned|i found|i've found|i realized|we realized|we found|we learned|as well)"
    r"(?:,? that(?= (?:the|a|an|we|you|i|it|they|people|there|if|when|most|every|your|our|my)\b))?(?:,|\s|$)\s*)+",
    re.IGNORECASE,
)
_SAYING = frozenset(
    ["is", "was", "are", "it's", "that's", "means", "mean", "meant", "saw", "see", "realized", "realised", "realize", "found", "find", "know", "knew", "think", "thought", "believe", "said", "says", "shows", "show", "showed", "learn", "learned", "learnt", "noticed", "discovered", "convinced", "argue", "suggests", "understand", "fact", "idea", "point", "conclusion", "reason", "you", "them", "people", "us", "me"]
)
"""What follows one of these and "that" is what a speaker saw, found or said: a claim of its own."""
_CUTS = {
    **dict.fromkeys(["and", "but", "so", "because", "which", "where", "while", "whereas", "although", "though"], 0.9),
    **dict.fromkeys(["since", "as", "for", "with", "in", "on", "at", "from", "into", "by", "before", "after", "over", "about", "through"], 1.4),
}
"""What a long clause may be cut before, and what that costs it. Never before that, than, if, unless, until, without or
only: the rest would say something else."""
_LOOSE_ENDS = (
    frozenset(
        ["a", "an", "the", "and", "or", "but", "so", "if", "because", "that", "which", "who", "whose", "when", "where", "while", "than", "as", "of", "in", "on", "at", "to", "from", "with", "by", "for", "into", "about", "over", "like", "is", "are", "was", "were", "be", "been", "am", "not", "no", "very", "really", "just", "more", "most", "some", "any", "each", "every", "my", "your", "our", "their", "his", "her", "its", "this", "these", "those", "i", "we", "you", "he", "she", "they", "it's", "that's", "there's", "can", "could", "will", "would", "should", "may", "might", "must", "do", "does", "did", "don't", "doesn't", "didn't", "have", "has", "had", "going", "gonna", "want", "wants", "need", "needs", "trying", "try", "kind", "sort", "even", "also", "only", "both", "either", "without", "until", "unless", "what", "how", "why", "then", "they're", "we're", "you're", "i'm", "let's", "such", "same", "other", "between", "through", "versus", "rather", "instead", "whether", "being", "having", "get", "gets", "make", "makes", "say", "says", "saying", "think", "means"]
    )
    | ANSWERS
)
_SUBORDINATE = frozenset(["when", "if", "unless", "until", "as", "because", "while", "whether", "what", "how", "why", "where", "since", "once", "although"])
_RELATIVE = frozenset(["that", "which", "who", "where", "to"])
_PERSONAL = frozenset(["i", "my", "i'm", "i've", "i'd", "i'll", "me"])
_PREPOSITIONS = frozenset(["to", "of", "in", "for", "with", "as", "than", "from", "at", "by", "who", "not", "without", "about", "into", "on"])
_TALK = frozenset(["think", "guess", "say", "saying", "said", "talk", "asked", "remember", "told", "feel", "mean", "idea", "question", "basically"])
_VAGUE = frozenset(
    ["he", "she", "it", "they", "them", "this", "that", "these", "those", "there", "here", "it's", "that's", "they're", "he's", "she's", "there's", "here's", "it'll", "that'll", "they've", "they'd", "it'd", "which", "who", "whose", "him", "her", "his", "their", "its", "hers", "theirs"]
)
_PRESENT = frozenset(
    ["is", "are", "am", "isn't", "aren't", "can", "can't", "cannot", "will", "won't", "should", "shouldn't", "must", "may", "might", "has", "hasn't", "have", "haven't", "do", "don't", "does", "doesn't", "needs", "need", "wants", "want", "means", "mean", "makes", "make", "takes", "take", "gets", "get", "gives", "give", "goes", "go", "comes", "come", "becomes", "become", "keeps", "keep", "lets", "let", "leads", "lead", "costs", "cost", "wins", "win", "loses", "lose", "beats", "beat", "works", "work", "helps", "help", "shows", "show", "tells", "tell", "says", "say", "knows", "know", "feels", "feel", "sees", "see", "finds", "find", "looks", "look", "turns", "turn", "starts", "start", "stops", "stop", "runs", "run", "builds", "build", "uses", "use", "changes", "change", "learns", "learn", "grows", "grow", "falls", "fall", "rises", "rise", "drops", "drop", "matters", "matter", "happens", "happen", "tends", "tend", "depends", "depend", "creates", "create", "causes", "cause", "requires", "require", "solves", "solve", "fails", "fail", "breaks", "break", "moves", "move", "pays", "pay", "spends", "spend", "saves", "save", "buys", "buy", "sells", "sell", "hires", "hire", "ships", "ship", "writes", "write", "reads", "read", "trusts", "trust", "hides", "hide", "measures", "measure", "remains", "remain", "stays", "stay", "puts", "put", "brings", "bring", "holds", "hold", "allows", "allow", "enables", "enable", "reduces", "reduce", "increases", "increase", "improves", "improve", "understands", "understand", "asks", "ask", "tries", "try", "fits", "fit", "follows", "follow", "exists", "exist", "lives", "live", "wakes", "multiplies", "multiply", "cuts", "cut", "hurts", "hurt", "ends", "end", "forces", "force", "drives", "drive", "kills", "kill", "scales", "scale", "deserves", "deserve", "predicts", "predict", "protects", "protect", "produces", "produce", "prevents", "prevent", "replaces", "replace"]
)
_PAST = frozenset(
    ["was", "were", "wasn't", "weren't", "could", "couldn't", "would", "wouldn't", "had", "hadn't", "did", "didn't", "meant", "made", "took", "got", "gave", "went", "came", "became", "kept", "led", "lost", "won", "worked", "helped", "showed", "told", "said", "knew", "thought", "felt", "saw", "found", "looked", "turned", "started", "stopped", "ran", "built", "used", "changed", "learned", "learnt", "grew", "fell", "rose", "dropped", "mattered", "happened", "tended", "created", "caused", "required", "solved", "failed", "broke", "moved", "paid", "spent", "saved", "bought", "sold", "hired", "shipped", "wrote", "trusted", "hid", "measured", "stayed", "brought", "held", "allowed", "enabled", "reduced", "increased", "improved", "understood", "asked", "tried", "followed", "existed", "lived", "doubled", "ended", "forced", "drove", "killed"]
)
_CONTRACTED = re.compile(r"^(?:we|you|i|it|that|he|she|they|there|what|who|people)['’](?:re|s|ve|ll|d|m)$")
_IMPERATIVES = frozenset(
    ["give", "start", "stop", "fix", "hide", "ask", "build", "write", "make", "take", "keep", "let", "focus", "find", "learn", "avoid", "try", "think", "look", "watch", "measure", "move", "put", "use", "never", "always", "don't", "choose", "pick", "treat", "invest", "spend", "remember", "say", "show", "pay", "trust", "test", "ship", "hire", "design", "begin", "turn", "get", "do", "be"]
)
_CLAIM = frozenset(
    ["not", "never", "always", "only", "more", "less", "better", "worse", "best", "worst", "most", "than", "because", "instead", "every", "no", "nobody", "nothing", "without", "must", "should", "can't", "cannot", "don't", "doesn't", "isn't", "aren't", "won't", "didn't", "easier", "harder", "faster", "slower", "cheaper", "important", "key", "hardest", "biggest", "problem", "reason", "difference", "actually", "same", "enough", "too", "impossible"]
)
_EMPTY = re.compile(
    r"\b(?:thank|thanks|welcome|podcast|episode|sponsor|listeners|question|talk about|talking about|great to|interesting|"
    r"awesome|cool|laugh\w*|you know|kind of|sort of|i mean|i guess|i don't know|i'm not sure|stuff|things like that|"
    r"whatever|and so on|blah|whole thing|that kind|or something|let me|i remember|i was|i'm|i have|i had|i've)\b",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\\?[\[(][^\])]{0,60}[\])]")
_DASH = re.compile(r"\s+[-–—]+\s+|--|[—–](?=\s)|(?<=\s)[—–]")


@dataclass(frozen=True, slots=True)
class _Candidate:
    words: tuple[str, ...]
    cost: float
    """Of the places where it begins and ends: 0 for a whole sentence, fillers aside."""
    closed: bool
    """Ends at punctuation or at the sentence's end."""
    asks: bool


def title_of(sentences: Sequence[str]) -> str:
    """A title of 1 to 12 words from the sentences of one passage; capitalised, no end mark. Never empty for real words."""
    return _best(sentences)[1]


def claim(sentences: Sequence[str]) -> float:
    """How much the best title reads like a claim: about 4 for a good one, 2 or less for a poor one."""
    return _best(sentences)[0]


def _best(sentences: Sequence[str]) -> tuple[float, str]:
    counts = Counter(word for word in content_words(" ".join(sentences)) if not numbers(word))
    rated = [
        (_rate(candidate, counts), -place, candidate)
        for place, sentence in enumerate(sentences)
        for candidate in _candidates(sentence)
    ]
    if not rated:
        return 0.0, _finish(" ".join(sentences).split()[:MAX_WORDS])
    value, _, best = max(rated, key=lambda r: (r[0], r[1], len(r[2].words)))
    return value, _finish(best.words)


def _candidates(sentence: str) -> list[_Candidate]:
    """Every run of up to 12 words that begins at a clause and ends where it may be cut."""
    words = _DASH.sub("; ", _BRACKETS.sub(" ", sentence)).split()
    asks = sentence.rstrip().endswith("?")
    found: dict[tuple[str, ...], _Candidate] = {}
    for start, start_cost in _starts(words):
        rest = _LEADS.sub("", " ".join(words[start:])).split()
        for end in range(2, min(MAX_WORDS, len(rest)) + 1):
            closed = end == len(rest) or rest[end - 1][-1] in ",;:.…"
            if not closed and (end < MIN_WORDS or rest[end].lower() not in _CUTS):
                continue
            end_cost = 0.0 if end == len(rest) else 0.3 if closed else _CUTS[rest[end].lower()]
            run = tuple(rest[:end])
            if run not in found or found[run].cost > start_cost + end_cost:
                found[run] = _Candidate(run, start_cost + end_cost, closed, asks)
    return list(found.values())


def _starts(words: Sequence[str]) -> list[tuple[int, float]]:
    """Where a clause begins, and what beginning there costs."""
    starts = [(0, 0.0)] if words else []
    for i in range(1, len(words)):
        before, word = words[i - 1], words[i].lower()
        if before[-1] in ";:…" or before.endswith(("...", ".", "!", "?")):
            starts.append((i, 0.2))
        elif before[-1] == ",":
            starts.append((i, 0.2 if word in ("and", "but", "so", "because") else 0.7))
        elif before.lower() == "that" and i > 1 and words[i - 2].lower() in _SAYING:
            starts.append((i, 0.1))
        elif word in ("because", "but", "so") and i + MIN_WORDS < len(words):
            starts.append((i, 0.5))
    return starts


def _rate(candidate: _Candidate, counts: Counter[str]) -> float:
    plain = [re.sub(r"[^\w'’-]", "", word).lower().replace("’", "'") for word in candidate.words]
    plain = [word for word in plain if word]
    if len(plain) < 2:
        return -9.0
    first, last = plain[0], plain[-1]
    content = {word for word in plain if word not in STOP}
    verbs = [
        i
        for i, word in enumerate(plain)
        if (word in _PRESENT or word in _PAST or _CONTRACTED.match(word)) and (not i or plain[i - 1] not in _RELATIVE)
    ]
    imperative = first in _IMPERATIVES and plain[1] not in ("of", "to", "and")
    claims = imperative or bool(verbs and verbs[0] > 0) or bool(_CONTRACTED.match(first))
    value = 1.2 if claims else -1.2
    value += 0.3 if imperative else 0.0
    value += 2.0 * len(content) / len(plain) if len(content) >= 2 else -0.8
    # Central: its words return in the passage.
    value += 0.6 * min(4, sum(counts[word] > 1 for word in content)) + 0.3 * min(len(content), 7)
    value += 0.35 * min(2, sum(word in _CLAIM for word in plain))
    # A rule stands in the present, a story in the past.
    value += 0.5 if any(plain[i] in _PRESENT for i in verbs[:1]) else 0.0
    value -= 0.3 * max(0, 6 - len(plain))
    value -= 1.6 if first in _VAGUE or first in CONNECTIVES else 0.0
    value -= 0.3 * sum(word in _VAGUE for word in plain[1:])
    value -= 1.0 if first in _PERSONAL else 0.0
    value -= 0.8 if first in _PREPOSITIONS or (first.endswith("ing") and not first.endswith("thing")) else 0.0
    value -= 2.0 if first in _SUBORDINATE and not (candidate.closed and _inner_comma(candidate.words)) else 0.0
    value -= candidate.cost
    value -= 2.5 if last in _LOOSE_ENDS else 0.0
    value -= 2.0 if candidate.asks else 0.0
    value -= 1.0 * len(_EMPTY.findall(" ".join(plain)))
    value -= 1.0 if candidate.words[-1].endswith(("...", "…", "-")) else 0.0
    value -= 1.0 if any(word[-1] in ".…!?:" for word in candidate.words[:-1]) else 0.0
    value -= 0.4 * sum(word in _TALK for word in plain)
    return value


def _inner_comma(words: Sequence[str]) -> bool:
    """Whether a main clause can follow: "When the job is old, we refuse new ones"."""
    return any(word.endswith(",") for word in words[2:-2])


def _finish(words: Sequence[str]) -> str:
    text = " ".join(words).strip().strip("\"“”").rstrip(" ,;:.…!-–—").lstrip(" ,;:.…-–—")
    if text.count('"') % 2 or text.count("“") != text.count("”"):
        text = re.sub(r'["“”]', "", text)
    return text[:1].upper() + text[1:]
