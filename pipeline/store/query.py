"""What a person types into a search box, as words that both databases understand; and where they stand in a text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

MAX_LETTERS = 200
MAX_TERMS = 12
_PART = re.compile(r'"([^"]*)"|([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand in a row (`words`, folded), the last one as a beginning when `open`."""

    words: tuple[str, ...]
    open: bool


@dataclass(frozen=True, slots=True)
class Query:
    """All terms have to occur; `text` is what was typed, without control characters."""

    text: str
    terms: tuple[Term, ...]


def parse(typed: str) -> Query:
    """Read a search: words, and phrases in quotes. A word also finds its longer forms: `queue` finds `queues`."""
    text = " ".join("".join(c if c.isprintable() else " " for c in typed[:MAX_LETTERS]).split())
    terms: list[Term] = []
    for quoted, loose in _PART.findall(text):
        words = tuple(_WORD.findall(fold(quoted or loose)))
        if not words:
            continue
        if quoted:
            terms.append(Term(words, False))
        else:
            # A plural finds the singular too; there is no stemmer that both databases share.
            last = words[-1]
            stem = last[:-1] if len(last) > 4 and last.endswith("s") and not last.endswith("ss") else last
            terms.append(Term((*words[:-1], stem), len(stem) > 2))
    return Query(text, tuple(terms[:MAX_TERMS]))


@lru_cache(maxsize=4096)
def _letter(c: str) -> str:
    base = unicodedata.normalize("NFKD", c)[:1].lower()
    return base if len(base) == 1 else c


def fold(text: str) -> str:
    """Lower case without accents, of the same length, so that a place in it is a place in `text`."""
    return "".join(map(_letter, unicodedata.normalize("NFC", text))) if not text.isascii() else text.lower()


def spans(text: str, query: Query) -> list[tuple[int, int]]:
    """Where the query's terms stand in an NFC text: begin and end, in order, not overlapping."""
    if not query.terms:
        return []
    longest_first = sorted(query.terms, key=lambda t: -sum(map(len, t.words)))
    parts = [r"[\W_]+".join(map(re.escape, t.words)) + (r"[^\W_]*" if t.open else "") for t in longest_first]
    found = re.compile(rf"(?<![^\W_])(?:{'|'.join(parts)})(?![^\W_])")
    return [m.span() for m in found.finditer(fold(text))]


def cut(text: str, found: list[tuple[int, int]]) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it is a hit."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for begin, end in found:
        if begin > at:
            pieces.append((text[at:begin], False))
        pieces.append((text[begin:end], True))
        at = end
    if at < len(text):
        pieces.append((text[at:], False))
    return pieces
