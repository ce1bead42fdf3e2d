"""`podsift transcript show` and `export` over a stored transcript."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.records import Sentence, Transcript
from pipeline.settings import load
from pipeline.store import transcripts
from pipeline.store.database import open_database
from pipeline.transcript import publisher
from tests.conftest import NOW, environ_of
from tests.fakes.rows import add_episode

SENTENCES = (
    Sentence(0, 5.25, 9.0, "The oldest job tells how late you are.", "Owen Tate"),
    Sentence(1, 60.0, 64.5, "Lanternfish is free for 30 days.", "Maya Lindgren", "sponsor", reason="phrases of a read"),
    Sentence(2, 65.0, 68.0, "R&D said a < b.", "Owen Tate"),
)
QUALITY = {
    "speech_s": 100.0,
    "suspects": {"repeats": 2},
    "missing": [[30.0, 32.5]],
    "redone": [[40.0, 44.0]],
    "dropped_words": 3,
    "publisher_refused": ["https://example.org/t.vtt: it covers too little"],
}


@pytest.fixture
def episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    environ = environ_of(tmp_path)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    db = open_database(load(environ=environ))
    made = Transcript(
        "en",
        120.0,
        SENTENCES,
        "whisper",
        "whisper-base int8",
        missing_speech_s=2.5,
        redone_s=4.0,
        quality=QUALITY,
        confidence=0.87,
        poor="45% of the speech could not be recognised",
    )
    with db.begin() as conn:
        found = add_episode(conn, NOW, stage="done")
        transcripts.save(conn, found, made, NOW)
    db.close()
    return str(found)


def test_quality_says_how_good_it_is_and_why(episode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["transcript", "show", episode, "--quality"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "source whisper, model whisper-base int8, language en",
        "POOR, gives no insights: 45% of the speech could not be recognised",
        "confidence 87% (mean of the words)",
        "missing speech 2.5 s, 2.5% of 100 s of speech",
        "  nothing made out 0:30 to 0:32",
        "heard again 4.0 s of 120 s (2 repeats)",
        "  heard again 0:40 to 0:44",
        "dropped 3 words that nobody said (music or silence)",
        "refused https://example.org/t.vtt: it covers too little",
        "marked sponsor 1:00 to 1:04: phrases of a read",
    ]
    assert run(["transcript", "show", episode, "--quality", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quality"] == QUALITY and told["poor"] and "sentences" not in told
    assert told["marks"][0]["reasons"] == ["phrases of a read"]


@pytest.mark.parametrize("form", ["srt", "vtt", "json"])
def test_what_is_exported_is_read_back(episode: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["transcript", "export", episode, "--format", form]) == 0
    back = publisher.read(capsys.readouterr().out.encode())
    assert [(s.start, s.end, s.text, s.speaker) for s in back] == [
        (s.start, s.end, s.text, s.speaker) for s in SENTENCES
    ]


def test_a_file_without_what_is_marked(episode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.txt"
    assert run(["transcript", "export", episode, "--without-marked", "--output", str(path)]) == 0
    assert path.read_text("utf-8") == (
        "[00:00:05] Owen Tate: The oldest job tells how late you are.\n[00:01:05] Owen Tate: R&D said a < b.\n"
    )
    assert capsys.readouterr().out == ""


def test_no_transcript_is_a_clear_error(episode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["transcript", "export", "999"]) == 3
    assert "podsift episode show" in capsys.readouterr().err
