"""A publisher's text at the times of the words that Whisper heard: one knows the names, the other the second.

Pure. Equal words are matched in order: first by runs that stand once in both, then by shorter ones between them. A
sentence of the text is placed where most of its words were heard; one that was not heard is left out, as nothing says
when it was said. What was heard at length and stands nowhere in the text is taken as inserted into the audio.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.errors import RefusedError
from pipeline.records import Sentence
from pipeline.transcript.base import Segment, Word
from pipeline.transcript.segment import sentences_from_segments, sentences_from_words

LEAST_PLACED = 0.6
"""Of the text's words; a page that is no transcript of this audio has hardly any."""
LEAST_HEARD = 0.5
"""Of a sentence's words: base makes out names and numbers badly, but not half of a sentence."""
INSERTED_WORDS = 15
INSERTED_S = 6.0
"""Shorter stretches without text are hesitations and talk that an editor left out."""
LONGEST_INSERTED_S = 300.0
_RUN = 4
_INSERTED = "heard, but not in the publisher's transcript: probably inserted"
_PAUSE_S = 0.4
_SLOWEST_S = 1.5
"""Seconds a word; a sentence spread wider has something inserted in its middle, or agrees by chance."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """Sentences at the audio's times, the share of the text's words in them, seconds of what only the audio has."""

    sentences: tuple[Sentence, ...]
    placed: float
    inserted_s: float


def aligned(segments: Sequence[Segment], words: Sequence[Word]) -> Aligned:
    """The text of `segments`, whose times do not count, at the times of `words`.

    Stretches that only the audio holds come as they were heard, marked, as an inserted advertisement is the likeliest
    reason; above five minutes unmarked. Raises RefusedError when the text is not what was heard.
    """
    texts = sentences_from_segments([replace(s, start=0.0, end=0.0) for s in segments if s.text.strip()])
    said, of = _tokens([s.text for s in texts])
    heard, from_word = _tokens([w.text for w in words])
    places: list[int | None] = [None] * len(said)
    for i, j in matches(said, heard):
        places[i] = from_word[j]
    matched = sorted({p for p in places if p is not None})
    found: list[Sentence] = []
    spans: list[tuple[int, int]] = []
    kept = 0
    for text, (a, b) in zip(texts, _spans(of, len(texts)), strict=True):
        floor = spans[-1][1] + 1 if spans else 0
        placed = _placed(text, places[a:b], words, floor, matched)
        if placed is not None:
            spans.append(placed[0])
            found += placed[1]
            kept += len(text.text.split())
    share = kept / max(sum(len(s.text.split()) for s in texts), 1)
    if share < LEAST_PLACED:
        raise RefusedError(
            "The publisher's transcript is not what the audio says", why=f"{share:.0%} of its words were heard"
        )
    inserted, inserted_s = _between(spans, words)
    ordered = sorted([*found, *inserted], key=lambda s: s.start)
    numbered = tuple(replace(s, number=n, segments=None) for n, s in enumerate(ordered))
    return Aligned(numbered, round(share, 3), round(inserted_s, 1))


def matches(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of indices of equal words, both rising."""
    todo = [(0, len(a), 0, len(b), _RUN)]
    while todo:
        a0, a1, b0, b1, n = todo.pop()
        if min(a1 - a0, b1 - b0) < n:
            if n > 1 and a1 > a0 and b1 > b0:
                todo.append((a0, a1, b0, b1, n - 1))
            continue
        anchors = _rising(_once_in_both(a, a0, a1, b, b0, b1, n))
        if not anchors:
            if n > 1:
                todo.append((a0, a1, b0, b1, n - 1))
            continue
        pairs = sorted({(i + k, j + k) for i, j in anchors for k in range(n)})
        i0, j0 = a0, b0
        for i, j in pairs:
            if i < i0 or j < j0:
                continue  # runs may overlap out of step where a word is stuttered
            yield i, j
            if i > i0 and j > j0:
                todo.append((i0, i, j0, j, n))
            i0, j0 = i + 1, j + 1
        if i0 < a1 and j0 < b1:
            todo.append((i0, a1, j0, b1, n))


def _once_in_both(
    a: Sequence[str], a0: int, a1: int, b: Sequence[str], b0: int, b1: int, n: int
) -> list[tuple[int, int]]:
    def once(words: Sequence[str], begin: int, end: int) -> dict[tuple[str, ...], int | None]:
        found: dict[tuple[str, ...], int | None] = {}
        for k in range(begin, end - n + 1):
            run = tuple(words[k : k + n])
            found[run] = None if run in found else k
        return found

    theirs = once(b, b0, b1)
    return [(i, j) for run, i in once(a, a0, a1).items() if i is not None and (j := theirs.get(run)) is not None]


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of pairs (ordered by their first) whose second rises too."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for n, (_, j) in enumerate(pairs):
        at = bisect_left(tails, j)
        before.append(ends[at - 1] if at else -1)
        if at == len(tails):
            tails.append(j)
            ends.append(n)
        else:
            tails[at], ends[at] = j, n
    found: list[tuple[int, int]] = []
    n = ends[-1] if ends else -1
    while n >= 0:
        found.append(pairs[n])
        n = before[n]
    return found[::-1]


def _placed(
    sentence: Sentence, places: Sequence[int | None], words: Sequence[Word], floor: int, matched: Sequence[int]
) -> tuple[tuple[int, int], list[Sentence]] | None:
    """First and last word heard of a sentence, and it at their times, cut at silences; None where too little was heard.

    `places` has the heard word of each of its tokens, `floor` is the first that no sentence before has taken.
    """
    hits = [(n, p) for n, p in enumerate(places) if p is not None and p >= floor]
    if not hits or len(hits) < LEAST_HEARD * len(places):
        return None
    (n0, w0), (n1, w1) = hits[0], hits[-1]
    if words[w1].end - words[w0].start > max(4.0, _SLOWEST_S * len(places)):
        return None
    # What was heard right before the first word that agrees, and after the last, are the misheard words there.
    before = bisect_left(matched, w0)
    floor = max(floor, matched[before - 1] + 1 if before else 0)
    for _ in range(n0):
        if w0 > floor and words[w0].start - words[w0 - 1].end < _PAUSE_S:
            w0 -= 1
    after = bisect_left(matched, w1 + 1)
    ceiling = matched[after] if after < len(matched) else len(words)
    for _ in range(len(places) - 1 - n1):
        if w1 + 1 < ceiling and words[w1 + 1].start - words[w1].end < _PAUSE_S:
            w1 += 1
    return (w0, w1), _timed(sentence, dict(hits), words, w0, w1)


def _timed(sentence: Sentence, hits: dict[int, int], words: Sequence[Word], w0: int, w1: int) -> list[Sentence]:
    """The sentence with times a word: of those that agree, and between them shared evenly."""
    parts = sentence.text.split()
    times: list[tuple[float, float] | None] = []
    n = 0
    for part in parts:
        size = len(_bare(part))
        own = [hits[k] for k in range(n, n + size) if k in hits]
        times.append((words[own[0]].start, words[own[-1]].end) if own else None)
        n += size
    at = words[w0].start
    pieces: list[Segment] = []
    k = 0
    while k < len(parts):
        given = times[k]
        if given is not None:
            start = max(at, given[0])
            at = max(start, given[1])
            pieces.append(Segment(start, at, parts[k], sentence.speaker))
            k += 1
            continue
        last = k
        while last + 1 < len(parts) and times[last + 1] is None:
            last += 1
        following = times[last + 1] if last + 1 < len(parts) else None
        until = max(at, following[0] if following is not None else words[w1].end)
        step = (until - at) / (last - k + 1)
        pieces += (
            Segment(at + step * m, at + step * (m + 1), part, sentence.speaker)
            for m, part in enumerate(parts[k : last + 1])
        )
        at, k = until, last + 1
    return list(sentences_from_segments(pieces))


def _between(spans: Sequence[tuple[int, int]], words: Sequence[Word]) -> tuple[list[Sentence], float]:
    """What was heard between, before and after the placed sentences, where it is long; its seconds."""
    found: list[Sentence] = []
    total = 0.0
    taken = sorted(spans)
    begins = [0, *(b + 1 for _, b in taken)]
    ends = [*(a for a, _ in taken), len(words)]
    for begin, end in zip(begins, ends, strict=True):
        if end - begin < INSERTED_WORDS or words[end - 1].end - words[begin].start < INSERTED_S:
            continue
        length_s = words[end - 1].end - words[begin].start
        total += length_s
        for s in sentences_from_words(words[begin:end]):
            ad = length_s <= LONGEST_INSERTED_S
            found.append(replace(s, mark="sponsor", reason=_INSERTED) if ad else s)
    return found, total


def _tokens(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Bare words of all texts, and for each the index of its text."""
    found: list[str] = []
    of: list[int] = []
    for n, text in enumerate(texts):
        words = _bare(text)
        found += words
        of += [n] * len(words)
    return found, of


def _bare(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold().replace("'", "").replace("’", ""))


def _spans(of: Sequence[int], count: int) -> Iterator[tuple[int, int]]:
    """First and after-last token of each text."""
    for n in range(count):
        yield bisect_left(of, n), bisect_left(of, n + 1)
