"""Several Whisper processes behind one Transcriber: as many files at a time as there are slots."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.records import Transcript
from pipeline.settings import WhisperSettings
from pipeline.transcript.base import Progress, Recognition, Word
from pipeline.transcript.whisper import WhisperTranscriber


class Pool:
    """Takes the transcriber that was idle last, so that a second process starts only when two files are in work."""

    def __init__(self, settings: WhisperSettings, data_dir: Path, *, max_hours: float = 8.0) -> None:
        self._all = [
            WhisperTranscriber(settings, data_dir, max_hours=max_hours, beside=settings.slots)
            for _ in range(settings.slots)
        ]
        self._idle: queue.LifoQueue[WhisperTranscriber] = queue.LifoQueue()
        for one in reversed(self._all):
            self._idle.put(one)

    def recognise(
        self, audio: Path, *, language: str | None = None, hints: str | None = None, progress: Progress | None = None
    ) -> Recognition:
        """As WhisperTranscriber does; waits while all are at work."""
        with self._one() as one:
            return one.recognise(audio, language=language, hints=hints, progress=progress)

    def transcribe(self, audio: Path, *, language: str | None = None, progress: Progress | None = None) -> Transcript:
        return self.recognise(audio, language=language, progress=progress).transcript

    def hear(self, audio: Path, spans: Sequence[tuple[float, float]], language: str | None = None) -> list[list[Word]]:
        with self._one() as one:
            return one.hear(audio, spans, language)

    @property
    def pids(self) -> list[int]:
        """The processes at hand."""
        return [one.pid for one in self._all if one.pid is not None]

    def close(self) -> None:
        """Stop all; files under way end with a TransientError."""
        for one in self._all:
            one.close()

    @contextmanager
    def _one(self) -> Iterator[WhisperTranscriber]:
        one = self._idle.get()
        try:
            yield one
        finally:
            self._idle.put(one)
