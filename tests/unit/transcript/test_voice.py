"""One run of the VAD gives what the batched pipeline would have found itself, and times come back."""

from __future__ import annotations

import numpy as np
import pytest

from bench.sound import demo, sound
from pipeline.audio.decode import SAMPLE_RATE
from pipeline.transcript.voice import MIN_SILENCE_MS, pack, padded, speech_of


def test_the_same_windows_as_the_batched_pipelines() -> None:
    from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps

    audio = sound(next(e for e in demo() if e["silence_s"])["path"])
    theirs = get_speech_timestamps(audio, VadOptions(max_speech_duration_s=30, min_silence_duration_ms=MIN_SILENCE_MS))
    chunks, _ = collect_chunks(audio, theirs, max_duration=30)
    packed = pack(audio, speech_of(audio))
    assert list(packed.pieces) == [(t["start"], t["end"]) for t in theirs]
    assert [packed.samples[a:b].tobytes() for a, b in packed.windows] == [c.tobytes() for c in chunks]
    # A sample of the packed speech comes back to where it stood.
    for (start, end), begin in zip(packed.pieces, packed.begins, strict=True):
        for at in (begin, begin + (end - start) // 2):
            seconds = at / SAMPLE_RATE
            assert packed.time(seconds, seconds) == pytest.approx((start + at - begin) / SAMPLE_RATE)


def test_padding_meets_in_the_middle_of_a_short_pause() -> None:
    second = SAMPLE_RATE
    assert padded([(1.0, 2.0), (2.5, 3.0), (5.0, 6.0)], 6 * second) == [
        (int(0.6 * second), int(2.25 * second)),
        (int(2.25 * second), int(3.4 * second)),
        (int(4.6 * second), 6 * second),
    ]


def test_silence_packs_to_nothing() -> None:
    audio = np.zeros(3 * SAMPLE_RATE, np.float32)
    packed = pack(audio, speech_of(audio))
    assert (packed.samples.size, packed.windows, packed.pieces) == (0, (), ())
