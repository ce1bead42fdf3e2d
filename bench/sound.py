"""Audio made of the demo's episodes: what benchmarks and tests listen to. 16 kHz mono."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.decode import SAMPLE_RATE, decode
from pipeline.resources import resource

Sound = NDArray[np.float32]
Starts = tuple[tuple[float, str], ...]


def demo() -> list[dict[str, Any]]:
    """The demo's episodes as `samples/expectations.json` describes them, with `path`."""
    folder = resource("samples")
    found: list[dict[str, Any]] = json.loads((folder / "expectations.json").read_text("utf-8"))["episodes"]
    for e in found:
        e["path"] = folder / e["audio"]
    return found


def sound(path: Path) -> Sound:
    return np.concatenate(list(decode(path, 600.0)))


def write(path: Path, samples: Sound) -> Path:
    """As 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def music(length_s: float, seed: int = 1) -> Sound:
    """Chords, a bass, a beat and a tune, drawn by a seed: loud, changing, nothing that speaks."""
    draw = np.random.default_rng(seed)
    at = np.arange(int(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    out = np.zeros(at.size)
    for begin in np.arange(0.0, length_s, 2.0):
        held = (at >= begin) & (at < begin + 2.0)
        t = at[held] - begin
        root = 110.0 * 2 ** (draw.choice([0, 3, 5, 7, 10]) / 12)
        for step in (0, 4, 7, 12):
            for overtone in (1, 2, 3):
                out[held] += np.sin(2 * np.pi * root * 2 ** (step / 12) * overtone * t) / overtone * np.exp(-t)
        for beat in np.arange(0.0, 2.0, 0.25):
            tone = root * 4 * 2 ** (draw.choice([0, 2, 4, 7, 9]) / 12)
            hit = (t >= beat) & (t < beat + 0.25)
            out[held] += np.where(hit, np.sin(2 * np.pi * tone * t) * np.exp(-8 * (t - beat)), 0.0)
            noise = draw.standard_normal(t.size)
            out[held] += np.where(hit, noise * np.exp(-60 * np.clip(t - beat, 0, None)) * 0.7, 0.0)
    return np.asarray(out / np.abs(out).max() * 0.5, np.float32)


def mix(path: Path, under: float = 0.12, last: tuple[int, int] = (9, 12)) -> tuple[Path, Starts, int]:
    """12 s of music, speech over music, 20 s of silence, speech, 6 s of hiss, an outro of 15 s of music.

    `last` are the last segments of the two stretches of speech. Returns the file, the true starts with their texts,
    and which of them comes first after music.
    """
    episodes = {e["id"]: e for e in demo()}
    parts: list[Sound] = [music(12.0)]
    starts: list[tuple[float, str]] = []

    def at_s() -> float:
        return sum(p.size for p in parts) / SAMPLE_RATE

    def say(name: str, first: int, last: int, background: float) -> None:
        chosen = episodes[name]["segments"][first : last + 1]
        begin, end = chosen[0]["start"] - 0.1, chosen[-1]["end"] + 0.1
        starts.extend((at_s() + s["start"] - begin, s["text"]) for s in chosen)
        speech = sound(episodes[name]["path"])[int(begin * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        parts.append(speech + background * music(speech.size / SAMPLE_RATE + 1, 2)[: speech.size])

    say("long-table-02", 0, last[0], under)
    parts.append(np.zeros(20 * SAMPLE_RATE, np.float32))
    say("slow-software-02", 1, last[1], 0.0)
    parts.append(np.asarray(np.random.default_rng(3).standard_normal(6 * SAMPLE_RATE) * 0.01, np.float32))
    parts.append(music(15.0, 4))
    return write(path, np.concatenate(parts)), tuple(starts), 0


def repeated(path: Path, times: int) -> tuple[Path, Starts]:
    """The demo's episodes one after the other, again and again, as one file of about ten minutes each time."""
    parts: list[Sound] = []
    starts: list[tuple[float, str]] = []
    at = 0.0
    loaded = [(e, sound(e["path"])) for e in demo()]
    for _ in range(times):
        for e, samples in loaded:
            starts += [(at + s["start"], s["text"]) for s in e["segments"]]
            parts.append(samples)
            at += samples.size / SAMPLE_RATE
    return write(path, np.concatenate(parts)), tuple(starts)
