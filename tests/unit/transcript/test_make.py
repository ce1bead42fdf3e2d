"""The way from a file or a document to a Transcript, with a transcriber that is not Whisper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.errors import ParseError, RefusedError
from pipeline.records import Sentence, Transcript
from pipeline.transcript import make as making
from pipeline.transcript.base import Progress, Recognition, Word

SAMPLES = Path(__file__).resolve().parents[3] / "samples"


class Scripted:
    """A transcriber that hears what it is told."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def transcribe(self, audio: Path, *, language: str | None = None, progress: Progress | None = None) -> Transcript:
        if progress is not None:
            progress(9.0)
        sentences = tuple(Sentence(n, n * 5.0, n * 5.0 + 4, text) for n, text in enumerate(self.texts))
        return Transcript(language or "en", 60.0, sentences, "whisper", "scripted", "00")

    def recognise(
        self, audio: Path, *, language: str | None = None, hints: str | None = None, progress: Progress | None = None
    ) -> Recognition:
        return Recognition(self.transcribe(audio, language=language, progress=progress), ())

    def hear(self, audio: Path, spans: Sequence[tuple[float, float]], language: str | None = None) -> list[list[Word]]:
        return [[Word(start, end, text) for text in self.texts] for start, end in spans]

    def close(self) -> None:
        self.texts = ()


def test_make_marks_sponsor_reads_and_reports_progress() -> None:
    seconds: list[float] = []
    found = making.make(
        Path("x.mp3"), Scripted("Hello.", "And now a word from our sponsor.", "Back to it."), "en", seconds.append
    )
    assert [s.mark for s in found.sentences] == [None, "sponsor", None]
    assert seconds == [9.0]


def test_json_has_exactly_these_keys() -> None:
    document = making.transcript_json(Scripted("Hello.").transcribe(Path("x.mp3")))
    assert document == {
        "language": "en",
        "duration_s": 60.0,
        "model": "scripted",
        "sentences": [{"start": 0.0, "end": 4.0, "speaker": None, "text": "Hello."}],
        "missing_speech_s": 0.0,
        "redone_s": 0.0,
    }


def test_a_publishers_document_becomes_a_transcript() -> None:
    data = (SAMPLES / "slow-software-02.vtt").read_bytes()
    found = making.from_publisher(data, duration_s=156.5, type="text/vtt", language="en", audio_sha256="ab")
    assert (found.source, found.model, found.audio_sha256) == ("publisher", None, "ab")
    assert found.sentences[3].text == "Last week I told you to watch one number, the age of the oldest job."
    assert found.sentences[3].start == 6.97
    with pytest.raises(RefusedError, match="covers too little"):
        making.from_publisher(data, duration_s=3600.0, type="text/vtt")


def test_a_json_file_on_its_own_maps_back_to_its_segments(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    segments = [
        {"startTime": 0, "endTime": 2, "body": "One half", "speaker": "A"},
        {"startTime": 2, "endTime": 2, "body": " "},
        {"startTime": 2, "endTime": 4, "body": "of a line. Two.", "speaker": "A"},
    ]
    path.write_text(json.dumps({"version": "1.0.0", "segments": segments}), "utf-8")
    found = making.read_podcast_json(path)
    assert found.duration_s == 4.0
    for sentence in found.sentences:
        assert sentence.segments is not None
        first, last = sentence.segments
        bodies = " ".join(str(segment["body"]) for segment in segments[first : last + 1])
        assert sentence.text.split()[0] in bodies


def test_a_json_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="cannot be read"):
        making.read_podcast_json(tmp_path / "none.json")
    path = tmp_path / "t.json"
    path.write_bytes(b'{"segments": []}')
    with pytest.raises(RefusedError, match="empty"):
        making.read_podcast_json(path)
    path.write_bytes(b"\x00\x01")
    with pytest.raises(ParseError):
        making.read_podcast_json(path)
