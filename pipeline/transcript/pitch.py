"""How much a stretch of talk sounds like somebody selling something: a small classifier on the frozen MiniLM.

A window begins at each sentence and takes whole sentences up to about 28 words. A logistic regression on its embedding
and a few counted features gives its log odds; a sentence's is the mean of the windows that hold it. Then the stretches
whose odds together outweigh the cost of beginning one are found (two-state Viterbi). bench/train_sponsor.py trains it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.insight.embed import DIMENSIONS, Embedder, Vectors
from pipeline.records import Sentence
from pipeline.resources import resource
from pipeline.transcript import offers

WINDOW_WORDS = 28
_WINDOW_SENTENCES = 8
_CLIP = 4.0
"""Log odds beyond this are no more certain."""
_WORDS_A_VOTE = 15.0
"""A sentence of so many words counts once; a short one less, as one alone says little."""

Array = NDArray[np.float64]

_PATTERNS = {
    "you": r"\b(?:you|your|yours|you're|you'll|you've)\b",
    "i": r"\b(?:i|i'm|i've|my|me)\b",
    "we": r"\b(?:we|we're|we've|our|us)\b",
    "past": r"\b(?:was|were|had|did|went|said|told|came|got|thought|\w{3,}ed)\b",
    "hedge": r"\b(?:think|maybe|probably|actually|kind of|sort of|i mean|you know|because|but|if)\b",
    "do this": r"(?:^|[.!?] )(?:and |so |just |or |then |please )*(?:go|visit|head|try|use|get|grab|check|sign|"
    r"subscribe|join|order|save|book|download|find|start|learn|listen|follow|switch|see|hit|enter|apply|post|request|"
    r"give|share|tell|buy|come)\b",
    "money": r"\$|€|£|\b(?:dollars?|euros?|pounds?|cents|percent|free|price|pay|discount|half off|off)\b",
    "time limit": r"\b(?:today|now|this week|this month|until|before (?:it's|they're|the)|on sale|while (?:they|it)|"
    r"limited|out now|comes? out|available|offer|deadline|registration|tickets?)\b",
    "call": r"\b(?:sign up|link|website|web page|homepage|our (?:page|site|store|shop)|app store|notes|description|"
    r"newsletter|membership|members?|subscribe|review|rating|support(?:ers?|ing)?|wherever)\b",
    "show": r"\b(?:show|podcast|episode|listeners?|listening|programme|program|series|network|sponsors?|partners?)\b",
    "goods": r"\b(?:shipping|ships?|delivered|delivery|sizes?|colou?rs?|box|guarantee|returns|trial|plans?|team|"
    r"customers|first (?:order|month|box|year)|minutes|card|cancel)\b",
}
_COMPILED = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _PATTERNS.items()} | {"tie": offers.TIES}
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-z]\w{2,}\b")
_COMMON = frozenset("The This That They There Then When What Yeah Right Okay And But Because".split())  # noqa: SIM905
FEATURES = (*_COMPILED, "named again", "sentence length", "question")


@dataclass(frozen=True)
class Pitch:
    """Trained weights: `mean`, `scale` and `weights` over embedding then features, a bias, the cost of a stretch."""

    version: str
    mean: Array
    scale: Array
    weights: Array
    bias: float
    cost: float

    @classmethod
    def load(cls) -> Pitch:
        """The shipped weights."""
        return _shipped()

    def odds(self, texts: Sequence[str], vectors: Vectors) -> Array:
        """Log odds of each window, shape (len(texts),); `vectors` are its embeddings."""
        return ((inputs(texts, vectors) - self.mean) / self.scale) @ self.weights + self.bias


@cache
def _shipped() -> Pitch:
    data = json.loads(resource("sponsor.json").read_text("utf-8"))
    return Pitch(
        data["version"],
        np.array(data["mean"]),
        np.array(data["scale"]),
        np.array(data["weights"]),
        data["bias"],
        data["cost"],
    )


def windows(sentences: Sequence[Sentence]) -> list[tuple[int, int]]:
    """First and last index of the window that begins at each sentence."""
    sizes = [len(s.text.split()) for s in sentences]
    found = []
    for first in range(len(sentences)):
        last, words = first, sizes[first]
        while last + 1 < len(sentences) and words < WINDOW_WORDS and last - first + 1 < _WINDOW_SENTENCES:
            last += 1
            words += sizes[last]
        found.append((first, last))
    return found


def text_of(sentences: Sequence[Sentence], window: tuple[int, int]) -> str:
    return " ".join(s.text for s in sentences[window[0] : window[1] + 1])


def embedded(texts: Sequence[str], spans: Sequence[tuple[int, int]], embedder: Embedder) -> Vectors:
    """Vectors of all windows: every second one is embedded, those between them get their neighbours' mean.

    A window overlaps the ones beside it for the most part; one that does not is embedded too. Marking an hour of talk
    costs half as much so, and the same reads are found (docs/transcripts.md).
    """
    own = [n for n in range(len(spans)) if n % 2 == 0 or n + 1 == len(spans) or spans[n - 1][1] < n]
    vectors = np.zeros((len(spans), DIMENSIONS), dtype=np.float32)
    vectors[own] = embedder.embed([texts[n] for n in own])
    for n in set(range(len(spans))) - set(own):
        vectors[n] = (vectors[n - 1] + vectors[n + 1]) / 2
    return vectors


def inputs(texts: Sequence[str], vectors: Vectors) -> Array:
    """Embedding and features side by side, shape (n, 384 + len(FEATURES))."""
    counted = np.array([_counts(text) for text in texts], dtype=np.float64).reshape(len(texts), len(FEATURES))
    return np.hstack((vectors.astype(np.float64), counted))


def _counts(text: str) -> list[float]:
    """Each pattern's hits in a window, at most 4; names said again; mean sentence length; share of questions."""
    words = max(len(text.split()), 10)
    hits = [min(4.0, len(pattern.findall(text)) * WINDOW_WORDS / words) for pattern in _COMPILED.values()]
    names = Counter(name for name in _NAME.findall(text) if name not in _COMMON)
    again = max((n for n in names.values()), default=0)
    ends = len(re.findall(r"[.!?]", text)) or 1
    return [*hits, float(min(again, 4)), min(words / ends, 40.0), text.count("?") / ends]


def sentence_odds(count: int, spans: Sequence[tuple[int, int]], odds: Array) -> Array:
    """Mean log odds of the windows that hold each sentence."""
    total, held = np.zeros(count), np.zeros(count)
    for (first, last), value in zip(spans, np.clip(odds, -_CLIP, _CLIP), strict=True):
        total[first : last + 1] += value
        held[first : last + 1] += 1
    return total / np.maximum(held, 1)


def stretches(sentences: Sequence[Sentence], odds: Array, cost: float) -> list[tuple[int, int, float]]:
    """First and last index of each stretch whose odds outweigh `cost`, and the sum of its votes; best cut overall."""
    votes = [float(o) * min(1.0, len(s.text.split()) / _WORDS_A_VOTE) for s, o in zip(sentences, odds, strict=True)]
    talk, pitch = 0.0, float("-inf")
    begun, ended = [], []
    for vote in votes:
        begun.append(talk - cost > pitch)
        ended.append(pitch > talk)
        talk, pitch = max(talk, pitch), max(pitch, talk - cost) + vote
    inside = pitch > talk
    found: list[tuple[int, int, float]] = []
    last = len(votes) - 1
    for n in range(len(votes) - 1, -1, -1):
        if inside and begun[n]:
            found.append((n, last, sum(votes[n : last + 1])))
            inside = False
        elif not inside and ended[n]:
            inside, last = True, n - 1
    return found[::-1]
