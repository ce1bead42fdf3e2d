"""The forms between sound and sentences, and the Protocol of whatever recognises speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.records import Transcript

Progress = Callable[[float], None]
"""Called with the seconds of audio done so far."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A timed piece of a publisher's transcript, as it stands there: one caption, or one word."""

    start: float
    end: float
    text: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word; `text` carries its own leading space, as languages without spaces have none."""

    start: float
    end: float
    text: str
    probability: float = 1.0


class Transcriber(Protocol):
    """Speech to text for one audio file at a time."""

    def transcribe(
        self, audio: Path, *, language: str | None = None, progress: Progress | None = None
    ) -> Transcript: ...

    def hear(
        self, audio: Path, spans: Sequence[tuple[float, float]], language: str | None = None
    ) -> list[list[Word]]: ...

    def close(self) -> None: ...
