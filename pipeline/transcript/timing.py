"""Whether a publisher's transcript says what the audio says, and when: checked on three short samples. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from pipeline.errors import RefusedError
from pipeline.transcript.base import Segment, UntimedError, Word

SAMPLE_S = 20.0
_PLACES = (0.12, 0.5, 0.85)
"""Where samples begin, as shares of the audio: advertisements are mostly inserted before, between or after these."""
EXACT_S = 1.5
"""Times inside a caption are interpolated, so nearer than this is as good as exact."""
SPREAD_S = 2.0
_RUN = 3
"""Words in a row that make a place; two are too common, and Whisper seldom gets four right of a name."""
_MIN_HEARD = 8
_MIN_FOUND = 0.25


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sample: how many seconds later the transcript has it than the audio; None where it was not found there."""

    start: float
    heard: int
    shift_s: float | None


def spans(duration_s: float) -> list[tuple[float, float]]:
    """Start and end of the samples to transcribe; of a short file one."""
    if duration_s < 4 * SAMPLE_S:
        return [(0.0, min(duration_s, 2 * SAMPLE_S))]
    return [(round(duration_s * share, 2), round(duration_s * share + SAMPLE_S, 2)) for share in _PLACES]


def sampled(start: float, heard: Sequence[Word], segments: Sequence[Segment]) -> Sampled:
    """Compare the words heard in a sample with the whole transcript."""
    said = [(token, w.start) for w in heard for token in _tokens(w.text)]
    if len(said) < _MIN_HEARD:
        return Sampled(start, len(said), None)
    written: list[tuple[str, float]] = []
    for segment in segments:
        tokens = _tokens(segment.text)
        step = (segment.end - segment.start) / max(len(tokens), 1)
        written += ((token, segment.start + n * step) for n, token in enumerate(tokens))
    places: dict[tuple[str, ...], list[float]] = {}
    for n in range(len(written) - _RUN + 1):
        places.setdefault(tuple(t for t, _ in written[n : n + _RUN]), []).append(written[n][1])
    shifts = sorted(
        at - said[n][1]
        for n in range(len(said) - _RUN + 1)
        for at in places.get(tuple(t for t, _ in said[n : n + _RUN]), ())
    )
    near = max(([s for s in shifts if abs(s - one) <= SPREAD_S] for one in shifts), key=len, default=[])
    if len(near) < max(2, _MIN_FOUND * (len(said) - _RUN + 1)):
        return Sampled(start, len(said), None)
    return Sampled(start, len(said), round(median(near), 2))


def corrected(segments: Sequence[Segment], samples: Sequence[Sampled]) -> tuple[tuple[Segment, ...], str]:
    """The segments at the audio's times, and what was found out.

    Raises RefusedError for another text than the audio's, UntimedError where no one shift will do.
    """
    heard = [s for s in samples if s.heard >= _MIN_HEARD]
    if not heard:
        return tuple(segments), "not checked: no speech in the samples"
    found = [s.shift_s for s in heard if s.shift_s is not None]
    if 2 * len(found) <= len(heard):
        raise RefusedError(
            "The publisher's transcript is not what the audio says",
            why=f"{len(heard) - len(found)} of {len(heard)} samples are not in it",
        )
    if any(b - a > SPREAD_S for a, b in pairwise(sorted(found))):
        raise UntimedError(
            "The publisher's transcript is not in time with the audio",
            why="it is off by "
            + ", ".join(f"{s:+.1f}" for s in found)
            + " s in different places: something is inserted",
            segments=segments,
        )
    shift = median(found)
    if abs(shift) <= EXACT_S:
        return tuple(segments), f"checked on {len(found)} samples"
    moved = (replace(s, start=round(s.start - shift, 3), end=round(s.end - shift, 3)) for s in segments)
    return tuple(s for s in moved if s.start >= 0), f"shifted by {-shift:+.1f} s, after {len(found)} samples"


def _tokens(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold().replace("'", "").replace("’", ""))
