"""Where somebody speaks, by the VAD that faster-whisper carries, and how the speech is packed into Whisper's windows.

faster-whisper's batched pipeline runs the VAD itself and keeps its findings to itself; running it once more for our own
checks cost 2.5 % of a transcription. So it runs here, once, with the same thresholds, and the pipeline is given the
packed speech. The words' times are mapped back by `Packed.time`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.audio.decode import SAMPLE_RATE, Samples

Span = tuple[int, int]
"""First and after-last sample."""

MIN_SILENCE_MS = 160
"""As in the batched pipeline; any other parameter given to it would reset this to 2000."""
WINDOW_S = 30.0
_PAD_S = 0.4


@dataclass(frozen=True, slots=True)
class Packed:
    """Speech laid end to end, the windows of at most 30 s in it, and where its pieces stood in the audio."""

    samples: Samples
    windows: tuple[Span, ...]
    pieces: tuple[Span, ...]
    begins: tuple[int, ...]
    """Where each piece begins in `samples`."""

    def time(self, seconds: float, middle_s: float) -> float:
        """Seconds in the audio of a time in `samples`, both taken in the piece that holds `middle_s`."""
        n = max(0, bisect_right(self.begins, int(middle_s * SAMPLE_RATE)) - 1)
        return seconds + (self.pieces[n][0] - self.begins[n]) / SAMPLE_RATE


def speech_of(audio: Samples) -> list[tuple[float, float]]:
    """Seconds of speech as the VAD hears it, without padding; no stretch is longer than a window holds."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        min_silence_duration_ms=MIN_SILENCE_MS, speech_pad_ms=0, max_speech_duration_s=WINDOW_S - 2 * _PAD_S
    )
    return [(part["start"] / SAMPLE_RATE, part["end"] / SAMPLE_RATE) for part in get_speech_timestamps(audio, options)]


def pack(audio: Samples, speech: Sequence[tuple[float, float]]) -> Packed:
    """The speech in windows, in order; stretches are padded by 0.4 s, or to the middle of a shorter pause."""
    pieces = padded(speech, audio.size)
    most = int(WINDOW_S * SAMPLE_RATE)
    windows: list[Span] = []
    begins: list[int] = []
    at = first = 0
    for start, end in pieces:
        if at + end - start - first > most and at > first:
            windows.append((first, at))
            first = at
        begins.append(at)
        at += end - start
    if at > first:
        windows.append((first, at))
    samples = np.concatenate([audio[a:b] for a, b in pieces]) if pieces else audio[:0]
    return Packed(samples, tuple(windows), tuple(pieces), tuple(begins))


def padded(speech: Sequence[tuple[float, float]], length: int) -> list[Span]:
    """Stretches of speech (seconds) as samples, each longer by 0.4 s on both sides where the pause allows."""
    pad = int(_PAD_S * SAMPLE_RATE)
    bare = [(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE)) for a, b in speech]
    found: list[Span] = []
    for n, (start, end) in enumerate(bare):
        before = found[-1][1] if found else 0
        gap = bare[n + 1][0] - end if n + 1 < len(bare) else 2 * pad
        begin = max(before, start - pad) if found else max(0, start - pad)
        found.append((begin, min(length, end + (pad if gap >= 2 * pad else gap // 2))))
    return found
