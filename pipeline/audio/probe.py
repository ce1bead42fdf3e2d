"""What an audio file says of itself, read from its headers without decoding it.

FFmpeg knows hundreds of formats, among them playlists (HLS, DASH, concat) that make it open other files and addresses.
A fetched file may only be one of the formats that podcasts use, and may only read itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from pipeline.errors import RefusedError

_KINDS = {
    "mp3": "mp3",
    "mov,mp4,m4a,3gp,3g2,mj2": "m4a",
    "aac": "aac",
    "ogg": "ogg",
    "flac": "flac",
    "wav": "wav",
    "matroska,webm": "webm",
    "aiff": "aiff",
    "mpegts": "mpegts",
    "asf": "wma",
    "amr": "amr",
}
_OPTIONS = {
    "format_whitelist": ",".join(_KINDS),
    "protocol_whitelist": "file",
    "probesize": "10000000",
    "analyzeduration": "10000000",
}
_OPEN_S = 20.0
_COUNT_S = 30.0


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """Duration in seconds, kind (`mp3`, `m4a`, ...), samples a second and channels of the first audio stream."""

    duration_s: float
    kind: str
    sample_rate: int
    channels: int


def open_audio(path: Path) -> InputContainer:
    """Open a file with FFmpeg, restricted to audio formats and to this one file.

    Raises RefusedError for what is not audio; an FFmpeg that crashes takes its process with it, so decode in a child.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise RefusedError(f"{path.name} is not audio", why="the file is missing or empty")
    try:
        container = av.open(
            str(path.resolve()), mode="r", metadata_errors="ignore", options=dict(_OPTIONS), timeout=(_OPEN_S, _OPEN_S)
        )
    except (av.FFmpegError, OSError, ValueError) as e:
        raise RefusedError(f"{path.name} is not audio that can be read", why=_reason(e)) from e
    if not container.streams.audio:
        container.close()
        raise RefusedError(f"{path.name} is not audio", why="it has no sound track")
    return container


def probe(path: Path, *, max_hours: float = 8.0) -> AudioFacts:
    """Read the facts of an audio file. Raises RefusedError for what is no audio or longer than `max_hours`."""
    with open_audio(path) as container:
        stream = container.streams.audio[0]
        sample_rate, channels = stream.sample_rate or 0, stream.channels or 0
        if sample_rate <= 0 or channels <= 0:
            raise RefusedError(f"{path.name} is not audio that can be read", why="its sound track has no sample rate")
        if container.duration is not None and container.duration > 0:
            duration_s = container.duration / av.time_base
        else:
            duration_s = _count_packets(container, stream, max_hours * 3600)
        kind = _KINDS.get(container.format.name, container.format.name)
    if duration_s <= 0:
        raise RefusedError(f"{path.name} holds no sound")
    if duration_s > max_hours * 3600:
        raise RefusedError(
            f"{path.name} lasts {duration_s / 3600:.1f} hours, more than the limit of {max_hours:g}",
            hint="raise audio.max_hours (PODSIFT_AUDIO_MAX_HOURS) if such episodes are wanted",
        )
    return AudioFacts(round(duration_s, 2), kind, sample_rate, channels)


def _count_packets(container: InputContainer, stream: Any, limit_s: float) -> float:
    """Sum of the packets' durations, for streams without a length in their header; stops past the limit."""
    total, until = 0.0, time.monotonic() + _COUNT_S
    try:
        for packet in container.demux(stream):
            if packet.duration and packet.time_base:
                total += float(packet.duration * packet.time_base)
            if total > limit_s or time.monotonic() > until:
                break
    except av.FFmpegError:
        return total
    return total


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text if text else type(error).__name__
