"""The commands over a finished demo's data, and the file-level ones, as a person or a script calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.resources import resource
from pipeline.transcript import publisher
from tests.acceptance.test_demo import demo

pytestmark = [pytest.mark.whisper, pytest.mark.xdist_group("whisper")]
Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("commands")
    assert demo(made).returncode == 0
    return made


@pytest.fixture
def call(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PODSIFT_DATA_DIR", str(folder))

    def invoke(*argv: str) -> tuple[int, str]:
        code = run(list(argv))
        return code, capsys.readouterr().out

    return invoke


def test_what_was_stored_can_be_read(call: Call) -> None:
    episodes = json.loads(call("episode", "list", "--json")[1])
    assert {e["stage"] for e in episodes} == {"done"}
    whispered = next(e["id"] for e in episodes if e["title"] == "The oldest job in the queue")
    assert "done (insights are stored)" in call("episode", "show", str(whispered))[1]
    assert "~ This episode is brought to you" in call("transcript", "show", str(whispered))[1]
    assert "source whisper" in call("transcript", "show", str(whispered), "--quality")[1]
    told = json.loads(call("transcript", "show", str(whispered), "--json")[1])
    marked = [s for s in told["sentences"] if s["mark"]]
    assert marked and all(s["reason"] for s in marked)
    lines = call("transcript", "show", str(whispered), "--quality")[1]
    assert "confidence " in lines and "missing speech " in lines and "marked sponsor 1:00 to" in lines
    assert told["confidence"] > 0.7 and told["poor"] is None and {m["mark"] for m in told["marks"]} >= {"sponsor"}
    # What is exported is read back as it was.
    for form, kind in (("srt", "application/x-subrip"), ("vtt", "text/vtt"), ("json", "application/json")):
        document = call("transcript", "export", str(whispered), "--format", form)[1]
        back = publisher.read(document.encode(), type=kind)
        assert [(s.text, s.start) for s in back] == [(s["text"], s["start"]) for s in told["sentences"]]
    assert marked[0]["text"] not in call("transcript", "export", str(whispered), "--without-marked")[1]
    shown = json.loads(call("insight", "list", "--json")[1])
    quoted = " ".join(i["quote"] for i in shown)
    assert not [s for s in marked if s["text"] in quoted]
    (sent,) = json.loads(call("digest", "list", "--json")[1])
    assert sent["state"] == "sent"
    assert "FIVE WORTH KNOWING" in call("digest", "show", str(sent["id"]))[1]
    assert len(json.loads(call("digest", "show", str(sent["id"]), "--json")[1])["insights"]) == 5
    assert json.loads(call("outbox", "list", "--json")[1])[0]["attempts"] == 1
    assert call("job", "list")[1].strip() == "Nothing waits."
    assert json.loads(call("feed", "log", "1", "--json")[1])[0]["new"] == 2


def test_a_preview_never_shows_what_was_had_and_changes_nothing(call: Call) -> None:
    had = {i["title"] for i in json.loads(call("digest", "show", "1", "--json")[1])["insights"]}
    first = json.loads(call("digest", "preview", "--json")[1])
    assert not had & {i["insight"]["title"] for i in first["items"]}
    assert json.loads(call("digest", "preview", "--json")[1]) == first
    assert call("digest", "send", "--dry-run")[1].strip() == "No mail waits."


def test_doctor_says_each_thing(call: Call) -> None:
    code, out = call("doctor", "--json")
    found = json.loads(out)
    assert found["whisper"]["result"] == found["schema"]["result"] == found["embedding"]["result"] == "ok"
    assert found["mail server"]["result"] == "warn"
    assert code == 0


def test_insight_find_scores_every_passage_and_quotes_the_input(call: Call) -> None:
    path = resource("samples") / "slow-software-02.transcript.json"
    code, out = call("insight", "find", str(path), "--json", "--top", "3")
    found = json.loads(out)
    segments = json.loads(path.read_text())["segments"]
    assert code == 0 and set(found) == {"writer", "passages", "insights"} and len(found["insights"]) == 3
    covered = {k for p in found["passages"] for k in range(p["first"], p["last"] + 1)}
    assert covered == set(range(len(segments)))
    for i in found["insights"]:
        assert set(i) == {"title", "insight", "quote", "first", "last", "start_s", "end_s", "speaker", "score"}
        assert i["quote"] in " ".join(s["body"] for s in segments[i["first"] : i["last"] + 1])
        assert segments[i["first"]]["startTime"] <= i["start_s"] <= segments[i["first"]]["endTime"]
        assert len(i["title"].split()) <= 12


def test_transcript_make_prints_one_object(call: Call) -> None:
    code, out = call("transcript", "make", str(resource("selftest.mp3")), "--json", "--language", "en")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"language", "duration_s", "model", "sentences", "missing_speech_s", "redone_s"}
    assert found["sentences"] and set(found["sentences"][0]) == {"start", "end", "speaker", "text"}
