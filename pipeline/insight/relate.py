"""Whether two insights say the same, without a language model: exactly, nearly word for word, or by vectors.

Vectors alone cannot tell a duplicate from a related idea: of 40 written paraphrases and 67 near misses (hard negatives,
contradictions, updates) the median cosine is 0.39 and 0.43. So two ideas count as the same only far up the scale, when
their numbers, their negations and their words agree too; everything else is left to a judge, or to the reader.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.insight.embed import Embedder, Vectors
from pipeline.insight.features import content_words
from pipeline.insight.numbers import numbers

GATE = 0.40
"""Below this cosine two texts are different ideas; at or above it a judge is worth asking."""
SAME = 0.65
"""Without a judge, nothing below this is merged."""
WORD_OVERLAP = 0.35
"""Of the shorter text's stems, so many also stand in the longer: a shared subject alone has less."""
SHINGLE = 3
NEAR_VERBATIM = 0.22
"""Share of the shorter text's three-word runs that the longer one has, with MIN_SHARED of them. Recognitions that
differ in every tenth word share about 0.7. Excerpts of two recognitions that have a sentence of 15 to 20 words in
common pass in 88 of 100 cases, with 20 to 30 words in 99 (at 0.35 it was 39 and 84); of 113,712 pairs of passages of
one episode 3 do."""
MIN_SHARED = 6
SENTENCE = 10
"""So many shared runs are a sentence that was said once, however long the rest is."""

ACRONYMS: Mapping[str, str] = {
    "ai": "artificial intelligence",
    "agi": "artificial general intelligence",
    "api": "application programming interface",
    "asr": "speech recognition",
    "cbt": "cognitive behavioural therapy",
    "cd": "continuous delivery",
    "cdn": "content delivery network",
    "ci": "continuous integration",
    "cpu": "processor",
    "db": "database",
    "ev": "electric vehicle",
    "fmri": "functional magnetic resonance imaging",
    "gdp": "gross domestic product",
    "gpu": "graphics processor",
    "iot": "internet of things",
    "k8s": "kubernetes",
    "kpi": "key performance indicator",
    "kv": "key value",
    "llm": "large language model",
    "ml": "machine learning",
    "moe": "mixture of experts",
    "mri": "magnetic resonance imaging",
    "mvp": "minimum viable product",
    "nlp": "natural language processing",
    "okr": "objectives and key results",
    "oss": "open source software",
    "pr": "pull request",
    "qa": "quality assurance",
    "rag": "retrieval augmented generation",
    "rl": "reinforcement learning",
    "rlhf": "reinforcement learning from human feedback",
    "roi": "return on investment",
    "saas": "software as a service",
    "sla": "service level agreement",
    "slo": "service level objective",
    "sre": "site reliability engineering",
    "ui": "user interface",
    "ux": "user experience",
    "vc": "venture capital",
    "vm": "virtual machine",
}

_ACRONYM = re.compile(r"\b(?=[A-Za-z0-9]*[A-Z])([A-Z][A-Za-z0-9]{1,4}?)(s?)\b")
_SPELT = re.compile(r"\b((?:[A-Za-z]+[ -]){1,5}[A-Za-z]+) \(([A-Z]{2,6})\)")
_NEGATION = re.compile(
    r"\b(?:no|not|never|nobody|nothing|none|neither|nor|without|cannot|\w+n['’]t|fails?|failed|stop(?:s|ped)?|wrong|"
    r"untrue|myth|hardly|rarely|longer|opposite|instead|less|fewer|worse)\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Relation:
    """Whether two texts are the same idea, how near their vectors are, and why it was decided so."""

    same: bool
    cosine: float
    reason: str


def expand_acronyms(text: str, also: Mapping[str, str] | None = None) -> str:
    """`text` with known acronyms written out, and those that it spells out itself ("total cost (TC)") from there on.

    `also` maps further acronyms, in lower case, to their long forms.
    """
    known = {**ACRONYMS, **(also or {})}
    for spelt in _SPELT.finditer(text):
        letters = spelt[2].lower()
        tail = re.split(r"[ -]", spelt[1])[-len(letters) :]
        if "".join(word[0].lower() for word in tail) == letters:
            known[letters] = " ".join(tail)
    text = _SPELT.sub(lambda found: found[1] if found[2].lower() in known else found[0], text)

    def long_form(found: re.Match[str]) -> str:
        full = known.get(found[1].lower())
        if full is None or not (found[1].isupper() or found[1] in ("MoE", "SaaS", "IoT", "fMRI")):
            return found[0]
        return full + found[2]

    return _ACRONYM.sub(long_form, text)


def meanings(embedder: Embedder, texts: Sequence[str]) -> list[Vectors]:
    """The vectors by which insights are compared: of each text with its acronyms written out, shape (dimensions,)."""
    return list(embedder.embed([expand_acronyms(t) for t in texts])) if texts else []


def same_idea(a_text: str, a_vec: Vectors, b_text: str, b_vec: Vectors) -> Relation:
    """Decide by unit vectors (shape (dimensions,)) and words. The measured rates are in docs/ranker.md."""
    cosine = float(np.clip(a_vec @ b_vec, -1.0, 1.0))
    if near_verbatim(a_text, b_text):
        return Relation(True, cosine, "nearly the same words")
    if cosine < GATE:
        return Relation(False, cosine, "different ideas")
    if cosine < SAME:
        return Relation(False, cosine, "related; only a judge could tell")
    a, b = expand_acronyms(a_text), expand_acronyms(b_text)
    if numbers(a) and numbers(b) and not numbers(a) & numbers(b):
        return Relation(False, cosine, "other numbers")
    if bool(_NEGATION.search(a)) != bool(_NEGATION.search(b)):
        return Relation(False, cosine, "one of them denies")
    if _word_overlap(a, b) < WORD_OVERLAP:
        return Relation(False, cosine, "other words")
    return Relation(True, cosine, f"the same idea (likeness {cosine:.2f})")


def same_reason(a_text: str, a_vec: Vectors | None, b_text: str, b_vec: Vectors | None) -> str | None:
    """Why two insights say the same, in words for the operator; None when they do not, as far as can be told."""
    if a_vec is None or b_vec is None or a_vec.shape != b_vec.shape:
        return "nearly the same words" if near_verbatim(a_text, b_text) else None
    relation = same_idea(a_text, a_vec, b_text, b_vec)
    return relation.reason if relation.same else None


def near_verbatim(a: str, b: str) -> bool:
    """Whether one text is the other, or a piece of it, but for a few words: reruns, twins, another recognition."""
    if text_key(a) == text_key(b):
        return True
    one, two = shingles(a), shingles(b)
    shared = len(one & two)
    return shared >= SENTENCE or (shared >= MIN_SHARED and shared / min(len(one), len(two)) >= NEAR_VERBATIM)


@lru_cache(maxsize=16_384)  # a digest asks for the same few thousand texts a million times
def text_key(text: str) -> str:
    """32 hex digits, the same for texts that differ only in case, punctuation, white space or Unicode form."""
    return hashlib.sha256(" ".join(_tokens(text)).encode()).hexdigest()[:32]


def _tokens(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return [token.replace("'", "") for token in _TOKEN.findall(folded)]


@lru_cache(maxsize=8192)
def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Every run of SHINGLE words; texts that share none are not nearly the same."""
    tokens = _tokens(text)
    return frozenset(zip(*(tokens[i:] for i in range(SHINGLE)), strict=False))


def _word_overlap(a: str, b: str) -> float:
    one, two = stems(a), stems(b)
    return len(one & two) / max(1, min(len(one), len(two)))


def stems(text: str) -> set[str]:
    """The content words of a text, without their endings."""
    return {re.sub(r"(?:'s|ing|ed|es|s|ly|e)$", "", word) or word for word in content_words(text)}
