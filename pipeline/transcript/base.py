"""The forms between sound and sentences, and the Protocol of whatever recognises speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.errors import RefusedError
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


class UntimedError(RefusedError):
    """A publisher's text whose times are missing or wrong: good for its words, not for its seconds."""

    def __init__(self, message: str, *, why: str, segments: Sequence[Segment]):
        super().__init__(message, why=why)
        self.segments = tuple(segments)
        """The text in order, with speakers where it names them; times mean nothing."""


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word; `text` carries its own leading space, as languages without spaces have none."""

    start: float
    end: float
    text: str
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard in a file: the transcript, and the words that its sentences were made of."""

    transcript: Transcript
    words: tuple[Word, ...]


class Transcriber(Protocol):
    """Speech to text for one audio file at a time."""

    def recognise(
        self, audio: Path, *, language: str | None = None, hints: str | None = None, progress: Progress | None = None
    ) -> Recognition: ...

    def transcribe(
        self, audio: Path, *, language: str | None = None, progress: Progress | None = None
    ) -> Transcript: ...

    def hear(
        self, audio: Path, spans: Sequence[tuple[float, float]], language: str | None = None
    ) -> list[list[Word]]: ...

    def close(self) -> None: ...
