"""Headers and samples of audio files, good, mixed, damaged and hostile."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av import AudioStream

from pipeline.audio.decode import SAMPLE_RATE, decode
from pipeline.audio.probe import AudioFacts, probe
from pipeline.errors import RefusedError

SAMPLES = Path(__file__).resolve().parents[3] / "samples"


def tone(format: str, codec: str, rate: int, layout: str, seconds: float) -> bytes:
    """A 440 Hz sine, encoded."""
    out = io.BytesIO()
    wave = (np.sin(np.arange(int(rate * seconds)) * 2 * np.pi * 440 / rate) * 8000).astype(np.int16)
    with av.open(out, "w", format=format) as container:
        stream = cast(AudioStream, container.add_stream(codec, rate=rate))
        stream.layout = layout
        packed = np.repeat(wave, 2)[None, :] if layout == "stereo" else wave[None, :]
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return out.getvalue()


def seconds(path: Path, block_s: float = 600.0) -> list[float]:
    return [block.size / SAMPLE_RATE for block in decode(path, block_s)]


def test_demo_shows() -> None:
    assert probe(SAMPLES / "slow-software-01.mp3") == AudioFacts(167.59, "mp3", 24000, 1)
    assert sum(seconds(SAMPLES / "slow-software-01.mp3", 60.0)) == pytest.approx(167.59, abs=0.02)


@pytest.mark.parametrize(
    ("format", "codec", "kind"),
    [
        ("mp3", "libmp3lame", "mp3"),
        ("ipod", "aac", "m4a"),
        ("adts", "aac", "aac"),
        ("ogg", "libopus", "ogg"),
        ("flac", "flac", "flac"),
        ("wav", "pcm_s16le", "wav"),
        ("webm", "libopus", "webm"),
    ],
)
def test_formats_of_podcasts(tmp_path: Path, format: str, codec: str, kind: str) -> None:
    path = tmp_path / "episode.bin"
    path.write_bytes(tone(format, codec, 48000, "stereo", 3.0))
    facts = probe(path)
    assert (facts.kind, facts.channels) == (kind, 2)
    assert facts.duration_s == pytest.approx(3.0, abs=0.15)
    assert sum(seconds(path)) == pytest.approx(3.0, abs=0.15)


def test_samples_come_in_blocks_in_range(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(tone("wav", "pcm_s16le", 16000, "mono", 5.0))
    blocks = list(decode(path, 2.0))
    assert sum(block.size for block in blocks) == 5 * SAMPLE_RATE
    assert all(
        block.dtype == np.float32 and np.abs(block).max() == pytest.approx(8000 / 32768, rel=0.01) for block in blocks
    )


def test_rate_and_channels_may_change_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "stitched.mp3"
    path.write_bytes(
        tone("mp3", "libmp3lame", 24000, "mono", 3.0)
        + tone("mp3", "libmp3lame", 44100, "stereo", 3.0)
        + tone("mp3", "libmp3lame", 24000, "mono", 3.0)
    )
    assert sum(seconds(path)) == pytest.approx(9.0, abs=0.3)


def test_damage_costs_only_what_is_damaged(tmp_path: Path) -> None:
    data = bytearray((SAMPLES / "slow-software-02.mp3").read_bytes())
    data[300_000:340_000] = random.Random(1).randbytes(40_000)
    path = tmp_path / "damaged.mp3"
    path.write_bytes(data)
    # 40 kB at 48 kbit/s are 6.7 s of 156.5 s.
    assert sum(seconds(path)) == pytest.approx(149.8, abs=1.5)


def test_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"more than the limit of 0\.01"):
        probe(SAMPLES / "slow-software-01.mp3", max_hours=0.01)
    path = tmp_path / "a.aac"
    path.write_bytes(tone("adts", "aac", 48000, "mono", 40.0))
    with pytest.raises(RefusedError, match="limit"):
        probe(path, max_hours=0.01)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><body>Not found</body></html>",
        b"\x00" * 5000,
        b"\xff\xfb\x90\x00",
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://%s\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile %s\n",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 100,
    ],
)
def test_what_is_no_audio_is_refused_and_opens_nothing_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "episode.mp3"
    path.write_bytes(content.replace(b"%s", str(SAMPLES / "slow-software-01.mp3").encode()))
    with pytest.raises(RefusedError, match=r"episode\.mp3"):
        probe(path)
    with pytest.raises(RefusedError):
        seconds(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="missing"):
        probe(tmp_path / "none.mp3")
