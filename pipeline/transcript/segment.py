"""Captions or recognised words to numbered sentences.

Both ways lay the text of one stretch of talk end to end, know the time of each character, and cut at sentence ends. A
stretch never reaches across a change of speaker or a silence. No character is altered; only white space is joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.records import Sentence
from pipeline.transcript.base import Segment, Word

MAX_GAP_S = 1.5
MAX_WORDS = 60
_MIN_PIECE = 20
"""Words that the head of an overlong sentence keeps at least."""

_END = re.compile(r"[.!?…]{1,9}[\"'”’»)\]]{0,4}(?=\s)|[。！？]{1,9}[」』”）]{0,4}")
_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]{1,4}|[^\s\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")
"""A word; where writing has no spaces, up to four characters count as one."""
_ABBREVIATIONS = frozenset(
    (
        *("mr", "mrs", "ms", "mx", "dr", "prof", "rev", "hon", "gen", "col", "sgt", "capt", "lt", "gov", "sen", "rep"),
        *("st", "jr", "sr", "vs", "cf", "al", "ca", "approx", "fig", "eq", "no", "vol", "pp", "ed", "eds", "inc"),
        *("ltd", "co", "corp", "e.g", "i.e", "eg", "ie", "z.b", "bzw", "u.a", "d.h", "nr", "bspw", "usw", "mme"),
    )
)
_LETTERS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|[^\W\d_]")
"""`U.S`, `a.m`, or one letter: initials, which end a sentence only before a word that starts one."""
_STARTERS = frozenset(
    (
        *("the", "a", "an", "and", "but", "so", "we", "i", "it", "they", "he", "she", "you", "this", "that", "these"),
        *("those", "there", "then", "when", "if", "in", "on", "at", "what", "why", "how", "who", "my", "our", "as"),
        *("now", "well", "yes", "no", "for", "after", "before", "because", "not", "one"),
    )
)
_CLOSING = re.compile(r"[,.!?;:…%)\]”’]+")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a stretch: where its text lies in the stretch, and its times."""

    at: int
    until: int
    start: float
    end: float
    index: int

    def time(self, position: int) -> float:
        """The time of a character position, by its share of the piece's text."""
        if self.until <= self.at:
            return self.start
        share = min(1.0, max(0.0, (position - self.at) / (self.until - self.at)))
        return self.start + (self.end - self.start) * share


def sentences_from_segments(segments: Sequence[Segment]) -> tuple[Sentence, ...]:
    """Sentences of a publisher's segments; `Sentence.segments` are first and last index into `segments`.

    Times inside a segment are interpolated by characters. A speaker is taken over, never inferred.
    """
    found: list[Sentence] = []
    for run in _runs(segments):
        text = ""
        pieces: list[_Piece] = []
        for index in run:
            segment = segments[index]
            part = " ".join(segment.text.split())
            if not part:
                continue
            if text and not _CLOSING.fullmatch(part):
                text += " "
            pieces.append(_Piece(len(text), len(text) + len(part), segment.start, segment.end, index))
            text += part
        speaker = segments[run[0]].speaker
        found += (replace(sentence, speaker=speaker) for sentence in _sentences(text, pieces))
    return _numbered(found)


def sentences_from_words(words: Sequence[Word]) -> tuple[Sentence, ...]:
    """Sentences of recognised words, cut at punctuation and at gaps of more than MAX_GAP_S; times are word times."""
    found: list[Sentence] = []
    text = ""
    pieces: list[_Piece] = []
    for index, word in enumerate(words):
        if pieces and word.start - pieces[-1].end > MAX_GAP_S:
            found += _sentences(text, pieces)
            text, pieces = "", []
        part = word.text.strip()
        if not part:
            continue
        if text and word.text[:1].isspace():
            text += " "
        pieces.append(_Piece(len(text), len(text) + len(part), word.start, word.end, index))
        text += part
    found += _sentences(text, pieces)
    return _numbered(replace(sentence, segments=None) for sentence in found)


def _runs(segments: Sequence[Segment]) -> Iterator[list[int]]:
    """Indices of consecutive segments of one speaker without a silence between them."""
    run: list[int] = []
    for index, segment in enumerate(segments):
        if run:
            last = segments[run[-1]]
            if segment.speaker != last.speaker or segment.start - last.end > MAX_GAP_S:
                yield run
                run = []
        run.append(index)
    if run:
        yield run


def _sentences(text: str, pieces: Sequence[_Piece]) -> Iterator[Sentence]:
    """Cut one stretch; `segments` holds piece indices, numbers are given later."""
    if not pieces:
        return
    starts = {piece.at for piece in pieces}
    at_piece = 0
    for begin, end in _short(text, _cuts(text), starts):
        while begin >= pieces[at_piece].until:
            at_piece += 1
        first = pieces[at_piece]
        last_index = at_piece
        while last_index + 1 < len(pieces) and pieces[last_index + 1].at < end:
            last_index += 1
        last = pieces[last_index]
        start_s, end_s = first.time(begin), last.time(end)
        yield Sentence(
            0, round(start_s, 3), round(max(start_s, end_s), 3), text[begin:end], segments=(first.index, last.index)
        )


def _cuts(text: str) -> list[tuple[int, int]]:
    """Begin and end of each sentence of a text."""
    spans, begin = [], 0
    for match in _END.finditer(text):
        if _is_end(text, match):
            spans.append((begin, match.end()))
            begin = match.end()
            while begin < len(text) and text[begin].isspace():
                begin += 1
    if begin < len(text):
        spans.append((begin, len(text)))
    return spans


def _is_end(text: str, match: re.Match[str]) -> bool:
    mark = match.group()
    if mark[0] in "。！？":
        return True
    after = text[match.end() : match.end() + 40].lstrip()
    if not after:
        return True
    if after[0].islower() and (mark[0] in ".…" or mark[-1] in "\"'”’»"):
        return False
    if mark != ".":
        return True
    before = text[max(0, match.start() - 40) : match.start()].split()
    word = (before[-1] if before else "").lstrip("\"'“‘«([").casefold()
    if word in _ABBREVIATIONS:
        # "no" before a digit is "number"; otherwise it is an answer.
        return word == "no" and not after[0].isdigit()
    if _LETTERS.fullmatch(word) and word != "i":
        following = re.match(r"[^\W\d_]+", after)
        return following is not None and following.group().casefold() in _STARTERS
    return True


def _short(text: str, spans: Sequence[tuple[int, int]], starts: set[int]) -> Iterator[tuple[int, int]]:
    """Break what runs on without a full stop: at the last comma within reach, else a piece, else a word."""
    for begin, end in spans:
        words = [match.span() for match in _WORD.finditer(text, begin, end)]
        at = 0
        while len(words) - at > MAX_WORDS:
            near = range(at + MAX_WORDS - 1, at + _MIN_PIECE - 1, -1)
            comma = next((n for n in near if text[words[n][1] - 1] in ",;:—–、，；"), None)
            piece = next((n for n in near if words[n + 1][0] in starts), None)
            cut = comma if comma is not None else piece if piece is not None else at + MAX_WORDS - 1
            yield words[at][0], words[cut][1]
            at = cut + 1
        yield (words[at][0] if at else begin), end


def _numbered(sentences: Sequence[Sentence] | Iterator[Sentence]) -> tuple[Sentence, ...]:
    return tuple(replace(sentence, number=number) for number, sentence in enumerate(sentences))
