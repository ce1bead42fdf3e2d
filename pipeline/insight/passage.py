"""Cuts a transcript into passages: the windows of whole sentences that the ranker scores.

The cut is the one the graded passages were made with (all 50 graded episodes come out exactly), so that the ranker sees
at work what it saw in training: a window closes before it would pass 85 words, and at a change of speaker once it has
20.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.records import Passage, Sentence, Transcript

MIN_WORDS = 20
"""From so many words on, a change of speaker (or an answered question) closes a window."""
MAX_WORDS = 85
"""A window never passes this, unless a single sentence does."""
MAX_SILENCE_S = 4.0
"""A pause longer than this is a cut: music, an edit, another part of the show."""


def words(text: str) -> int:
    """How many words a text has, split at white space."""
    return len(text.split())


def passages(transcript: Transcript) -> tuple[Passage, ...]:
    """Every sentence without a mark in exactly one passage, in order; scores are 0."""
    found: list[Passage] = []
    voices = any(sentence.speaker for sentence in transcript.sentences)
    for run in runs(transcript):
        window: list[Sentence] = []
        size = 0
        for sentence in run:
            here = words(sentence.text)
            if window and (size + here > MAX_WORDS or (size >= MIN_WORDS and _turns(window[-1], sentence, voices))):
                found.append(Passage(window[0].number, window[-1].number))
                window, size = [], 0
            window.append(sentence)
            size += here
        found.append(Passage(window[0].number, window[-1].number))
    return tuple(found)


def runs(transcript: Transcript) -> Iterator[list[Sentence]]:
    """The stretches of neighbouring sentences that no sponsor mark, long pause or missing number interrupts."""
    run: list[Sentence] = []
    for sentence in transcript.sentences:
        if run and (
            sentence.mark is not None
            or sentence.number != run[-1].number + 1
            or sentence.start - run[-1].end > MAX_SILENCE_S
        ):
            yield run
            run = []
        if sentence.mark is None:
            run.append(sentence)
    if run:
        yield run


def _turns(before: Sentence, after: Sentence, voices: bool) -> bool:
    """Whether another voice begins. Where no speaker is known at all, a question is mostly followed by an answer."""
    if voices:
        return before.speaker != after.speaker
    return before.text.rstrip().endswith("?") and not after.text.rstrip().endswith("?")
