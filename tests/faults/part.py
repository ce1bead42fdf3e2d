"""`podsift` with time shortened and two models replaced, for the fault suite: `python -P part.py worker --queue ...`.

The transcriber reads the script of the episode instead of its sound, vectors come from words. Everything else is the
product. FAULTS_SCALE shortens its waits, FAULTS_OFFSET names a file with the seconds by which the clock is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline import clock, stages
from pipeline.engine import step, ticks
from pipeline.insight import toolbox
from pipeline.records import Sentence, Transcript
from pipeline.transcript import whisper
from pipeline.transcript.base import Recognition, Word
from tests.fakes.embedder import WordEmbedder
from tests.faults import script

SCALE = float(os.environ.get("FAULTS_SCALE", "1"))
SLOW_S = 0.2
"""How long each made-up transcription takes: a kill has to find something to interrupt."""


class ScriptTranscriber:
    """Hears what the script says."""

    def __init__(self, *_args: Any, **_more: Any) -> None: ...

    def recognise(
        self, audio: Path, *, language: str | None = None, hints: str | None = None, progress: Any = None
    ) -> Recognition:
        made = self.transcribe(audio, language=language, progress=progress)
        (words,) = self.hear(audio, [(0.0, made.duration_s)], language)
        return Recognition(made, tuple(words))

    def transcribe(self, audio: Path, *, language: str | None = None, progress: Any = None) -> Transcript:
        n = script.number(audio)
        with Path(os.environ["FAULTS_TRACE"]).open("a") as f:
            f.write(f"{n}\n")
        if script.kind(n) == script.POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(SLOW_S)
        said = tuple(
            Sentence(k, script.STEP_S * k, script.STEP_S * k + 4.5, text, None)
            for k, text in enumerate(script.lines(n))
        )
        return Transcript("en", script.duration_s(n), said, "whisper", "script", confidence=0.9)

    def hear(self, audio: Path, spans: Sequence[tuple[float, float]], language: str | None = None) -> list[list[Word]]:
        text = script.lines(script.number(audio))
        return [
            [
                Word(k * script.STEP_S + j * 0.2, k * script.STEP_S + j * 0.2 + 0.1, f" {w}")
                for k, line in enumerate(text)
                if a <= k * script.STEP_S < b
                for j, w in enumerate(line.split())
            ]
            for a, b in spans
        ]

    def self_test(self) -> None: ...

    def close(self) -> None: ...


def now(_self: object) -> datetime:
    try:
        wrong = float(Path(os.environ["FAULTS_OFFSET"]).read_text() or 0)
    except (OSError, ValueError):
        wrong = 0.0
    return datetime.now(UTC) + timedelta(seconds=wrong)


def shorten() -> None:
    """Waits of minutes become seconds."""
    step.RETRY_S = tuple(max(1, s * SCALE) for s in step.RETRY_S)  # type: ignore[assignment]
    step.WAIT_S = max(1.0, step.WAIT_S * SCALE)  # type: ignore[assignment]
    ticks.EVERY_S = max(1.0, ticks.EVERY_S * SCALE)
    if "postgres" in os.environ.get("PODSIFT_DATABASE_URL", ""):
        from procrastinate import worker

        from pipeline.engine import queue

        queue.STALE_S = max(3.0, queue.STALE_S * SCALE)
        made = worker.Worker.__init__

        def init(self: Any, *args: Any, **more: Any) -> None:
            made(self, *args, **more | {"update_heartbeat_interval": queue.STALE_S / 3})

        worker.Worker.__init__ = init  # type: ignore[method-assign]


def main() -> None:
    shorten()
    replaced: tuple[tuple[Any, str, Any], ...] = (
        (clock.SystemClock, "now", now),
        (stages, "Pool", ScriptTranscriber),
        (whisper, "WhisperTranscriber", ScriptTranscriber),
        (toolbox, "MiniLmEmbedder", lambda *_: WordEmbedder()),
    )
    for where, name, what in replaced:
        assert hasattr(where, name), name
        setattr(where, name, what)
    from pipeline.cli.main import main as podsift

    podsift()


if __name__ == "__main__":
    main()
