"""Whether a recognised span is speech as spoken, and whether speech was missed. Pure arithmetic on text and times.

Batched decoding ignores Whisper's own safeguards (temperature fallback, conditioning, hallucination threshold), so the
same measures are taken here and what fails is recognised again, sequentially.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.transcript.base import Word

MAX_COMPRESSION = 2.4
MIN_LOGPROB = -1.0
"""Both as in Whisper's own fallback (openai/whisper, transcribe.py)."""
MAX_NO_SPEECH = 0.6
MAX_WORDS_PER_S = 7.0
_MIN_WORDS_FOR_RATE = 8
_REPEATED_SHARE = 0.4
_ECHO_WORDS = 3
MIN_MISSED_S = 1.0
"""Shorter stretches without words are breaths and hesitations."""
_WORD_PAD_S = 0.3
_RUN_GAP_S = 0.8
MAX_MISSING_SHARE = 0.3
MIN_CONFIDENCE = 0.5
"""Clear speech has 0.85 to 0.95 with the base model (docs/transcripts.md)."""

_PHANTOMS = re.compile(
    r"""thank(s|\ you)(\ so\ much|\ very\ much)?\ for\ (watching|viewing)(\ this\ video)?
    | (please\ )?(like\ and\ )?subscribe(\ to\ (my|our|the)\ channel)?
    | see\ you\ (in\ the\ )?next\ (video|time)
    | (sub|cap)tit(les|led)\ (by|provided|created).*
    | subtitulos\ (por|realizados).* | sous\ titrage.* | untertitel.* | legendas\ pela.* | sottotitoli.*
    | .*amara\ org.*
    | vielen\ dank\ fur[s]?\ zuschauen | merci\ d\ avoir\ regarde\ cette\ video | gracias\ por\ ver(\ el\ video)?
    | copyright\ .* | transcri(bed|ption)\ by\ .* | www\ \S+\ (com|org)
    | (music|applause|silence|laughter|you|bye|so|oh|hmm|ah|the)(\ (music|applause|you|bye|oh|hmm|ah))*""",
    re.VERBOSE,
)
"""What Whisper says over music and silence, from its training on video captions; only ever a whole span."""


@dataclass(frozen=True, slots=True)
class Span:
    """A decoded span: text, times of its first and last word, mean log probability a token, no-speech probability."""

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech: float


def suspicion(span: Span, speech_s: float, before: str = "", hints: str | None = None) -> str | None:
    """Why a span may not be what was said, or None. `speech_s` are the seconds of speech that the VAD hears in it,
    `before` the text of the span before, `hints` what Whisper was told."""
    words = _words(span.text)
    if not words:
        return "empty"
    if hints and len(words) >= _ECHO_WORDS and f" {' '.join(words)} " in f" {' '.join(_words(hints))} ":
        return "echoes"
    # One repeated letter makes a short text compress well, so the ratio needs some length to mean anything.
    if len(words) >= _MIN_WORDS_FOR_RATE and compression_ratio(span.text) > MAX_COMPRESSION:
        return "compresses"
    if repeated_share(words) > _REPEATED_SHARE or (len(words) >= _MIN_WORDS_FOR_RATE and words == _words(before)):
        return "repeats"
    if span.avg_logprob < MIN_LOGPROB:
        return "unsure"
    if len(words) >= _MIN_WORDS_FOR_RATE and len(words) > MAX_WORDS_PER_S * max(span.end - span.start, 0.1):
        return "too fast"
    quiet = speech_s < 0.3 * (span.end - span.start)
    if is_phantom(span.text) and (quiet or span.no_speech > MAX_NO_SPEECH):
        return "phantom"
    if quiet and span.no_speech > MAX_NO_SPEECH:
        return "no speech"
    return None


def is_phantom(text: str) -> bool:
    """Whether the whole text is one of the phrases that Whisper makes up where nobody speaks."""
    return _PHANTOMS.fullmatch(" ".join(_words(text))) is not None


def without_phantoms(words: Sequence[Word], speech: Sequence[tuple[float, float]]) -> list[Word]:
    """The words without those that no speech is under: phantom phrases, and longer runs over music or silence.

    Looked at by runs between pauses, as a phantom mostly ends a span that is otherwise true.
    """
    kept: list[Word] = []
    run: list[Word] = []
    for n, word in enumerate(words):
        run.append(word)
        if n + 1 == len(words) or words[n + 1].start - word.end > _RUN_GAP_S:
            length_s = max(run[-1].end - run[0].start, 0.1)
            share = overlap_s(speech, run[0].start, run[-1].end) / length_s
            made_up = share < 0.05 or (share < 0.3 and is_phantom("".join(w.text for w in run)))
            if not made_up:
                kept += run
            run = []
    return kept


def confidence(words: Sequence[Word]) -> float | None:
    """Mean probability of the words, 0..1; None without words."""
    return round(sum(w.probability for w in words) / len(words), 3) if words else None


def poor(speech_s: float, missing_s: float, sure: float | None) -> str | None:
    """Why a transcript is too poor to be quoted, or None. Seconds of speech and of speech without words; confidence."""
    if speech_s > 0 and missing_s > MAX_MISSING_SHARE * speech_s:
        return f"{missing_s / speech_s:.0%} of the speech could not be recognised"
    if sure is not None and sure < MIN_CONFIDENCE:
        return f"the recogniser was sure of {sure:.0%} of the words only"
    return None


def compression_ratio(text: str) -> float:
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))


def repeated_share(words: Sequence[str]) -> float:
    """Share of the words that lie in a run of the same one to four words said four times or more in a row."""
    if len(words) < 8:
        return 0.0
    repeated = 0
    at = 0
    while at < len(words):
        best = 0
        for size in range(1, 5):
            unit = words[at : at + size]
            times = 1
            while len(unit) == size and words[at + size * times : at + size * (times + 1)] == unit:
                times += 1
            if times >= 4:
                best = max(best, size * times)
        repeated += best
        at += best or 1
    return repeated / len(words)


def missed(
    speech: Iterable[tuple[float, float]], words: Iterable[tuple[float, float]], least_s: float = MIN_MISSED_S
) -> list[tuple[float, float]]:
    """Stretches of speech of at least `least_s` seconds in which there is no word. In seconds, in order."""
    taken = _merged((start - _WORD_PAD_S, end + _WORD_PAD_S) for start, end in words)
    found: list[tuple[float, float]] = []
    at = 0
    for start, end in _merged(speech):
        while at < len(taken) and taken[at][1] <= start:
            at += 1
        position, n = start, at
        while n < len(taken) and taken[n][0] < end:
            if taken[n][0] - position >= least_s:
                found.append((position, taken[n][0]))
            position = max(position, taken[n][1])
            n += 1
        if end - position >= least_s:
            found.append((position, end))
    return found


def joined(stretches: Iterable[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """Stretches nearer than `gap_s` to each other as one."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if found and start - found[-1][1] <= gap_s:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def overlap_s(speech: Iterable[tuple[float, float]], start: float, end: float) -> float:
    """Seconds of `speech` between start and end."""
    return sum(max(0.0, min(end, b) - max(start, a)) for a, b in speech)


def total_s(stretches: Iterable[tuple[float, float]]) -> float:
    return sum(end - start for start, end in stretches)


def _merged(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return joined(stretches, 0.0)


def _words(text: str) -> list[str]:
    plain = text.casefold().translate(str.maketrans("áàâäãéèêëíìîïóòôöõúùûüñç", "aaaaaeeeeiiiiooooouuuunc"))
    return re.findall(r"[^\W_]+", plain)
