"""Audio as the recogniser wants it, block by block: 16 kHz mono floats, so that memory does not grow with length.

One hour of such floats is 230 MB and the recogniser copies them several times; blocks keep eight hours as small as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from pipeline.audio.probe import open_audio
from pipeline.errors import RefusedError

SAMPLE_RATE = 16_000
_MAX_BAD_PACKETS = 10_000
_GATHERED = 262_144

Samples = NDArray[np.float32]


def decode(path: Path, block_s: float) -> Iterator[Samples]:
    """Yield consecutive stretches of at least `block_s` seconds (the last one is what is left).

    Damaged packets are skipped, as players do. Raises RefusedError for what is not audio or cannot be decoded at all.
    """
    wanted = int(block_s * SAMPLE_RATE)
    parts: list[NDArray[np.int16]] = []
    held = total = 0
    for part in _pieces(path):
        parts.append(part)
        held += part.size
        total += part.size
        if held >= wanted:
            yield _floats(parts)
            parts, held = [], 0
    if total == 0:
        raise RefusedError(f"{path.name} holds no sound", why="nothing in it could be decoded")
    if parts:
        yield _floats(parts)


def header_s(path: Path) -> float | None:
    """Seconds that the file's header claims; None when it claims nothing. Raises RefusedError for what is not audio."""
    with open_audio(path) as container:
        duration = container.duration
    return duration / av.time_base if duration and duration > 0 else None


def stretches(path: Path, spans: Sequence[tuple[float, float]]) -> list[Samples]:
    """The samples of each span (start and end in seconds), in one pass over the file; shorter where it ends before."""
    found: list[list[Samples]] = [[] for _ in spans]
    at, last = 0.0, max((end for _, end in spans), default=0.0)
    for block in decode(path, 30.0):
        for parts, (start, end) in zip(found, spans, strict=True):
            begin, until = int(max(0.0, start - at) * SAMPLE_RATE), int(max(0.0, end - at) * SAMPLE_RATE)
            parts.append(block[begin:until])
        at += block.size / SAMPLE_RATE
        if at >= last:
            break
    return [np.concatenate(parts) if parts else np.zeros(0, np.float32) for parts in found]


def _pieces(path: Path) -> Iterator[NDArray[np.int16]]:
    # Frames are gathered before they are resampled: a call for each of an hour's 140,000 cost as much as decoding.
    held, resampler, form = av.AudioFifo(), _resampler(), None
    with open_audio(path) as container:
        for frame in _frames(container, path.name):
            # Inserted advertisements often change rate or channels in the middle; fifo and resampler take one form.
            now = (frame.sample_rate, frame.layout.name, frame.format.name)
            if form is not None and now != form:
                yield from _rest(held, resampler)
                held, resampler = av.AudioFifo(), _resampler()
            form = now
            frame.pts = None  # A file's own time stamps may jump; seconds count samples as decoded.
            held.write(frame)
            if held.samples >= _GATHERED:
                yield from map(_samples, resampler.resample(held.read()))
        if form is not None:
            yield from _rest(held, resampler)


def _rest(held: av.AudioFifo, resampler: av.AudioResampler) -> Iterator[NDArray[np.int16]]:
    if held.samples:
        yield from map(_samples, resampler.resample(held.read()))
    yield from map(_samples, resampler.resample(None))


def _resampler() -> av.AudioResampler:
    return av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _frames(container: InputContainer, name: str) -> Iterator[av.AudioFrame]:
    """Frames packet by packet: `container.decode()` is a generator, and one damaged packet would end it for good."""
    bad = 0
    packets = container.demux(container.streams.audio[0])
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        try:
            yield from packet.decode()
        except av.FFmpegError as e:
            bad += 1
            if bad > _MAX_BAD_PACKETS:
                raise RefusedError(f"{name} cannot be decoded", why="most of it is damaged") from e


def _samples(frame: av.AudioFrame) -> NDArray[np.int16]:
    return np.asarray(frame.to_ndarray(), dtype=np.int16).reshape(-1)


def _floats(parts: list[NDArray[np.int16]]) -> Samples:
    return np.concatenate(parts).astype(np.float32) / np.float32(32768.0)
