"""The parent's side of the Whisper process: what it does with a child that dies, stalls, lies or answers.

The child here is a few lines of Python that speak the same protocol; the real one is in tests/integration.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, RefusedError, TransientError
from pipeline.settings import WhisperSettings
from pipeline.transcript import whisper
from pipeline.transcript.reply import OutOfMemoryError
from pipeline.transcript.whisper import WhisperTranscriber

CHILD = """
import json, os, sys, time
def say(**event): print(json.dumps(event), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "load":
        say(**{load})
        continue
    what = open(request["audio"]).read()
    if what == "die":
        print("a reason", file=sys.stderr, flush=True); os._exit(3)
    if what == "killed": os.kill(os.getpid(), 9)
    if what == "stall": time.sleep(60)
    if what == "idle":
        while True: say(event="alive", cpu_s=1.0, rss=1000); time.sleep(0.2)
    if what == "grows":
        while True: say(event="alive", cpu_s=time.monotonic(), rss=10**15); time.sleep(0.2)
    if what == "stuck":
        say(event="begun", seconds=100.0)
        while True:
            say(event="alive", cpu_s=time.monotonic(), rss=1000); say(event="progress", seconds=5.0); time.sleep(0.2)
    if what == "noise": print("not json", flush=True); time.sleep(60)
    if what == "memory": say(event="error", kind="memory", message="CUDA out of memory"); continue
    if what == "refused": say(event="error", kind="audio", message="no audio", why="so it is"); continue
    if what == "failed": say(event="error", kind="other", message="ValueError: odd"); continue
    if "spans" in request:
        say(event="result", samples=[[[a, b, " heard"]] for a, b in request["spans"]]); continue
    say(event="progress", seconds=1.5)
    say(event="result", language="en", duration_s=3.0, words=[[0.5, 1.0, " Hello"], [1.0, 1.4, " there."]],
        speech_s=1.0, missing_speech_s=0.25, redone_s=0.5, suspects=dict(secret=os.environ.get("PODSIFT_SECRET_KEY")),
        missing=[[2.0, 2.25]], redone=[[2.0, 2.5]], dropped_words=1, confidence=0.75, rss=1000)
"""
READY = 'dict(event="ready", model="fake int8", device="cpu", problems=[])'


@pytest.fixture
def transcriber(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(whisper, "_BOOT", CHILD.replace("{load}", READY).replace("{", "{{").replace("}", "}}"))
    settings = WhisperSettings(model=str(tmp_path))  # type: ignore[call-arg]
    made = WhisperTranscriber(settings, tmp_path / "data", stall_s=1.5)
    yield made
    made.close()


def audio(folder: Path, content: str) -> Path:
    path = folder / f"{content}.mp3"
    path.write_text(content, "utf-8")
    return path


def test_an_answer_becomes_a_transcript(
    transcriber: WhisperTranscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODSIFT_SECRET_KEY", "k1:not for a decoder")
    done: list[float] = []
    found = transcriber.transcribe(audio(tmp_path, "fine"), progress=done.append)
    assert [(s.start, s.end, s.text, s.speaker) for s in found.sentences] == [(0.5, 1.4, "Hello there.", None)]
    assert (found.source, found.model, found.language, found.duration_s) == ("whisper", "fake int8", "en", 3.0)
    assert (found.missing_speech_s, found.redone_s) == (0.25, 0.5)
    assert found.audio_sha256 == hashlib.sha256(b"fine").hexdigest()
    assert found.quality == {
        "speech_s": 1.0,
        "suspects": {"secret": None},
        "missing": [[2.0, 2.25]],
        "redone": [[2.0, 2.5]],
        "dropped_words": 1,
    }
    assert (found.confidence, found.poor) == (0.75, None)
    assert done == [1.5]
    assert transcriber.pid is not None


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("die", "ended with 3: a reason"),
        ("killed", "killed by signal 9"),
        ("stall", "said nothing"),
        ("idle", "did nothing"),
        ("stuck", "stood at 5 s of the audio"),
        ("grows", "grew to 1000000.0 GB of memory"),
        ("noise", "died"),
        ("memory", "half the batch|out of memory"),
        ("failed", "ValueError: odd"),
    ],
)
def test_a_failing_child_is_a_clear_error_and_the_next_call_works(
    transcriber: WhisperTranscriber, tmp_path: Path, what: str, reason: str
) -> None:
    transcriber.transcribe(audio(tmp_path, "fine"))
    before = transcriber.pid
    with pytest.raises(TransientError, match=reason):
        transcriber.transcribe(audio(tmp_path, what))
    assert transcriber.pid is None
    assert transcriber.transcribe(audio(tmp_path, "fine")).sentences
    assert transcriber.pid != before


def test_refused_audio_costs_no_child(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    transcriber.transcribe(audio(tmp_path, "fine"))
    before = transcriber.pid
    with pytest.raises(RefusedError, match="no audio: so it is"):
        transcriber.transcribe(audio(tmp_path, "refused"))
    with pytest.raises(RefusedError, match="cannot be read"):
        transcriber.transcribe(tmp_path / "none.mp3")
    assert transcriber.pid == before


def test_a_child_that_died_between_files_is_replaced(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    transcriber.transcribe(audio(tmp_path, "fine"))
    assert transcriber._child is not None
    transcriber._child.process.kill()
    transcriber._child.process.wait()
    assert transcriber.transcribe(audio(tmp_path, "fine")).sentences


def test_a_child_is_recycled(transcriber: WhisperTranscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "RECYCLE_AFTER", 2)
    transcriber.transcribe(audio(tmp_path, "fine"))
    assert transcriber.pid is not None
    transcriber.transcribe(audio(tmp_path, "fine"))
    assert transcriber.pid is None


def test_a_child_that_grew_is_recycled(
    transcriber: WhisperTranscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "GROWN_BYTES", 500)
    transcriber.transcribe(audio(tmp_path, "fine"))
    assert transcriber.pid is None


def test_after_out_of_memory_the_batch_is_halved(
    transcriber: WhisperTranscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[int] = []
    send = whisper._Child.send

    def watched(child: whisper._Child, request: dict[str, object]) -> None:
        if request["do"] == "load":
            loads.append(request["halved"])  # type: ignore[arg-type]
        send(child, request)

    monkeypatch.setattr(whisper._Child, "send", watched)
    with pytest.raises(OutOfMemoryError):
        transcriber.transcribe(audio(tmp_path, "memory"))
    assert transcriber.transcribe(audio(tmp_path, "fine")).sentences
    assert loads == [0, 1]


def test_spans_are_heard_with_their_times(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    found = transcriber.hear(audio(tmp_path, "fine"), [(3.0, 4.0), (8.0, 9.0)])
    assert [[(w.start, w.end, w.text) for w in words] for words in found] == [
        [(3.0, 4.0, " heard")],
        [(8.0, 9.0, " heard")],
    ]


def test_close_ends_a_file_under_way(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    transcriber.transcribe(audio(tmp_path, "fine"))
    threading.Timer(0.3, transcriber.close).start()
    begun = time.monotonic()
    with pytest.raises(TransientError, match="died"):
        transcriber.transcribe(audio(tmp_path, "stall"))
    assert time.monotonic() - begun < 1.4


def test_threads_take_turns(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    path, found = audio(tmp_path, "fine"), []
    threads = [threading.Thread(target=lambda: found.append(transcriber.transcribe(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len({transcript.sentences for transcript in found}) == 1


def test_no_model_is_a_setting_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = 'dict(event="error", kind="model", message="whisper-x: OSError: not there")'
    monkeypatch.setattr(whisper, "_BOOT", CHILD.replace("{load}", failed).replace("{", "{{").replace("}", "}}"))
    transcriber = WhisperTranscriber(WhisperSettings(model="x"), tmp_path)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="not there") as caught:
        transcriber.transcribe(audio(tmp_path, "fine"))
    assert "PODSIFT_WHISPER_MODEL" in str(caught.value.hint)
    assert transcriber.pid is None


def test_a_users_own_pipeline_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text("raise SystemExit('the wrong one')", "utf-8")
    root = Path(whisper.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-P", "-c", whisper._BOOT.format(root=str(root))],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
    )
    # Its stdin is closed, so it leaves at once, without a word.
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
