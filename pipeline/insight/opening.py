"""Words at the start of a sentence that only join it to what was said before, or win its speaker time.

Said aloud, every third sentence begins so: "And so, you know, nobody reads the manual." A quotation may begin behind
them, and then needs nothing before it. Words that change what is said ("No,", "because", "or") are not among them.
"""

from __future__ import annotations

import re

from pipeline.insight.features import lead

MOST = 4
LEAST = 5
"""Words that must be left."""

_JOINS = re.compile(r"(?:and|but|so)\b(?!-)", re.IGNORECASE)
_APART = re.compile(
    r"(?:and|but|so|also|plus|anyways?|again|well|now|okay|ok|alright|all right|yeah|yep|yes|right|sure|exactly|oh|"
    r"uh|um|ah|hmm|like|look|listen|you know|i mean|i guess)\b(?: (?:uh|um|like|yeah|then))?"
    r"(?=\s*(?:[,…]|\.{3}|-+ |[–—] ))",
    re.IGNORECASE,
)
"""With something behind them that parts them from the sentence."""
_BOUND = (
    *("many", "much", "far", "long", "few", "little", "often", "good", "bad", "easy", "hard", "big", "small", "great"),
    *("important", "to", "as", "that", "called", "not", "for", "then"),
)
"""Behind "so", "and" or "but" they belong to it: "so far", "but for", "and so on"."""
_PUNCTUATION = " ,;.…-–—"
_REPLIES = re.compile(r"\b(?:yeah|yep|yes|right|sure|exactly|okay|ok|alright|all right|oh|well)\b", re.IGNORECASE)


def opening(sentence: str) -> int:
    """How many characters of a sentence can be left out at its start; 0 when it begins with its first word."""
    at = 0
    for _ in range(MOST):
        rest = sentence[at:]
        found = _APART.match(rest)
        if not found:
            found = _JOINS.match(rest)
            if not found or lead(rest[found.end() :].lstrip(_PUNCTUATION)) in _BOUND:
                break
        at += found.end()
        at += len(sentence[at:]) - len(sentence[at:].lstrip(_PUNCTUATION))
    return at if len(sentence[at:].split()) >= LEAST else 0


def replies(left_out: str) -> bool:
    """Whether an opening answers somebody ("Yeah, so"): what follows may be the rest of an answer."""
    return _REPLIES.search(left_out) is not None


def begun(text: str) -> str:
    """The text with a capital at its start, unless its first word has one inside ("iPhone")."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return text[:1].upper() + text[1:] if first.islower() else text
