"""The whole way to a Transcript, from audio or from a publisher's document, and its form as plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, ParseError, RefusedError
from pipeline.records import Transcript
from pipeline.transcript import publisher, structure, timing
from pipeline.transcript.base import Progress, Segment, Transcriber
from pipeline.transcript.podcast_json import read_podcast_json as read_segments
from pipeline.transcript.segment import sentences_from_segments
from pipeline.transcript.text import MAX_BYTES, MAX_SEGMENTS, decode

Check = Callable[[Sequence[Segment]], tuple[tuple[Segment, ...], str]]
"""Looks at a document's segments once more: returns them, corrected, and what was found out."""


def make(
    audio: Path, transcriber: Transcriber, language: str | None = None, progress: Progress | None = None
) -> Transcript:
    """Recognise a file and mark its sponsor reads. Raises what the transcriber raises."""
    transcript = transcriber.transcribe(audio, language=language, progress=progress)
    return replace(transcript, sentences=structure.mark(transcript.sentences, duration_s=transcript.duration_s)[0])


def from_publisher(
    data: bytes,
    *,
    duration_s: float,
    type: str | None = None,
    url: str = "",
    language: str | None = None,
    audio_sha256: str | None = None,
    check: Check | None = None,
) -> Transcript:
    """A publisher's document, checked against the audio's duration, and by `check`. Raises ParseError, RefusedError."""
    segments = publisher.tidied(publisher.read(data, type=type, url=url))
    publisher.check(segments, duration_s, language)
    quality: dict[str, Any] = {}
    if check is not None:
        segments, quality["times"] = check(segments)
    return Transcript(
        language=language,
        duration_s=duration_s,
        sentences=structure.mark(sentences_from_segments(segments))[0],
        source="publisher",
        audio_sha256=audio_sha256,
        quality=quality,
    )


def check_against(audio: Path, duration_s: float, transcriber: Transcriber, language: str | None) -> Check:
    """A check of a document's times by transcribing three short samples of the audio.

    It raises RefusedError for a transcript that is not in time or says something else, TransientError when recognition
    fails for now. Without a model (ConfigError) nothing can be checked, and the document says so.
    """

    def check(segments: Sequence[Segment]) -> tuple[tuple[Segment, ...], str]:
        spans = timing.spans(duration_s)
        try:
            heard = transcriber.hear(audio, spans, language)
        except ConfigError as e:
            return tuple(segments), f"not checked: {e.message}"
        samples = [timing.sampled(start, words, segments) for (start, _), words in zip(spans, heard, strict=True)]
        return timing.corrected(segments, samples)

    return check


def read_podcast_json(path: Path) -> Transcript:
    """A Podcasting 2.0 JSON file on its own, without audio; `Sentence.segments` are indices of its segments.

    The duration is the end of the last segment. Raises ParseError for what is no such file, RefusedError for what is
    too large or empty.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise ParseError(f"{path} cannot be read", hint="give the path of a Podcasting 2.0 transcript in JSON") from e
    segments = read_segments(decode(data))
    if len(segments) > MAX_SEGMENTS:
        raise RefusedError(f"{path} has more than {MAX_SEGMENTS:,} segments")
    publisher.check_times(segments)
    return Transcript(
        language=None,
        duration_s=max(segment.end for segment in segments),
        sentences=structure.mark(sentences_from_segments(segments))[0],
        source="publisher",
    )


def transcript_json(t: Transcript) -> dict[str, Any]:
    """`{language, duration_s, model, sentences: [{start, end, speaker, text}], missing_speech_s, redone_s}`."""
    return {
        "language": t.language,
        "duration_s": t.duration_s,
        "model": t.model,
        "sentences": [{"start": s.start, "end": s.end, "speaker": s.speaker, "text": s.text} for s in t.sentences],
        "missing_speech_s": t.missing_speech_s,
        "redone_s": t.redone_s,
    }
