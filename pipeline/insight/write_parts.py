"""Cuts a transcript into the parts that a served model reads, and picks what it is asked about twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.insight.injected import to_a_machine
from pipeline.insight.passage import words
from pipeline.records import Passage, Sentence, Transcript

PART_CHARS = 9_000
"""About 1,600 words, ten minutes of talk: short enough to be read with care, long enough to hold an argument."""
LEAST_CHARS = 1_500
CHARS_A_TOKEN = 3
"""Of English talk it is four and a half; a part that is too long all the same is halved."""
OVERLAP = 4
"""Sentences that a part repeats from the one before, for what was being said at the cut."""
WORDS_AN_INSIGHT = 250
"""A part may bring one insight for so many words ..."""
MOST = 5
"""... and never more than this."""
HINTS = 5
ENDLESS = 60
"""A sentence of more words, of which not a quarter are different, is a recogniser's loop or somebody's trick."""
REACH = 2
"""Sentences around a passage that is asked about by itself: few, so that little can sway what is said of it."""
PROMISING = 0.08
"""Of passages that the ranker scores lower one in thirty was graded an insight (docs/ranker.md)."""


@dataclass(frozen=True, slots=True)
class Part:
    """Sentences that one prompt shows, the passages it names as promising, and how many insights it asks for."""

    sentences: tuple[Sentence, ...]
    promising: tuple[tuple[int, int], ...]
    most: int

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(sentence.number for sentence in self.sentences)


def usable(transcript: Transcript) -> tuple[Sentence, ...]:
    """The sentences that may be shown and cited: no sponsor read, nothing said to a machine, no endless repetition."""
    return tuple(s for s in transcript.sentences if s.mark is None and s.text.strip() and not _of_no_use(s))


def _of_no_use(sentence: Sentence) -> bool:
    if to_a_machine(sentence.text) or to_a_machine(sentence.speaker or ""):
        return True
    said = sentence.text.casefold().split()
    return len(said) > ENDLESS and len(set(said)) < len(said) / 4


def room(context: int | None, taken: int) -> int:
    """Characters of transcript that fit beside so many other tokens into a context."""
    if context is None:
        return PART_CHARS
    return max(LEAST_CHARS, min(PART_CHARS, CHARS_A_TOKEN * (context - taken)))


def parts(sentences: Sequence[Sentence], passages: Iterable[Passage], chars: int) -> list[Part]:
    """All sentences in parts of nearly the same size, at most `chars` characters each unless one sentence is longer."""
    total = sum(len(s.text) + 1 for s in sentences)
    share = total / max(1, -(-total // chars))
    best = sorted((p for p in passages if p.score >= PROMISING), key=lambda p: (-p.score, p.first))
    found: list[Part] = []
    first = size = 0
    for i, sentence in enumerate(sentences):
        here = len(sentence.text) + 1
        if i > first and size + here > share + 1:
            found.append(_part(sentences[max(0, first - (OVERLAP if found else 0)) : i], best))
            first, size = i, 0
        size += here
    if first < len(sentences):
        found.append(_part(sentences[max(0, first - (OVERLAP if found else 0)) :], best))
    return found


def around(sentences: Sequence[Sentence], passage: Passage) -> Part:
    """A passage with what stands around it, to be asked for its one insight."""
    near = tuple(s for s in sentences if passage.first - REACH <= s.number <= passage.last + REACH)
    return Part(near, ((passage.first, passage.last),), 1)


def halves(part: Part) -> tuple[Part, ...]:
    """Two parts for one that the server found too long; nothing for one that cannot be made smaller."""
    if len(part.sentences) < 2 * OVERLAP:
        return ()
    middle = len(part.sentences) // 2
    most = max(1, part.most // 2)
    both = (part.sentences[:middle], part.sentences[middle:])
    return tuple(Part(some, _inside(part.promising, some), most) for some in both)


def missed(passages: Iterable[Passage], cited: Iterable[Iterable[int]], most: int) -> list[Passage]:
    """The best promising passages of which no insight cites a sentence."""
    used = {number for numbers in cited for number in numbers}
    best = sorted((p for p in passages if p.score >= PROMISING), key=lambda p: (-p.score, p.first))
    return [p for p in best if used.isdisjoint(range(p.first, p.last + 1))][:most]


def _part(sentences: Sequence[Sentence], best: Sequence[Passage]) -> Part:
    inside = _inside([(p.first, p.last) for p in best], sentences)[:HINTS]
    size = sum(words(s.text) for s in sentences)
    return Part(tuple(sentences), tuple(sorted(inside)), min(MOST, 1 + size // WORDS_AN_INSIGHT))


def _inside(spans: Sequence[tuple[int, int]], sentences: Sequence[Sentence]) -> tuple[tuple[int, int], ...]:
    numbers = {s.number for s in sentences}
    return tuple((first, last) for first, last in spans if first in numbers and last in numbers)
