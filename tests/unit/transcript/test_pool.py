"""As many files at a time as there are slots, by processes that are started only when needed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import TransientError
from pipeline.settings import WhisperSettings
from pipeline.transcript import whisper
from pipeline.transcript.pool import Pool

CHILD = """
import json, os, pathlib, sys, time
def say(**event): print(json.dumps(event), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "load":
        say(event="ready", model=f"{request['threads']} threads", device="cpu", problems=[]); continue
    audio = pathlib.Path(request["audio"])
    audio.with_suffix(f".{os.getpid()}").touch()
    if audio.name == "dies": os._exit(3)
    while not audio.with_name("go").exists(): time.sleep(0.02)
    say(event="result", language="en", duration_s=3.0, words=[[0.5, 1.0, " Hello."]], speech_s=1.0, rss=1000,
        missing_speech_s=0.0, redone_s=0.0, suspects={}, missing=[], redone=[], dropped_words=0, confidence=0.9)
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    monkeypatch.setattr(whisper, "_BOOT", CHILD.replace("{", "{{").replace("}", "}}"))
    monkeypatch.setattr("pipeline.transcript.machine.cores", lambda: 5)
    settings = WhisperSettings(model=str(tmp_path), slots=2)  # type: ignore[call-arg]
    made = Pool(settings, tmp_path / "data")
    yield made
    made.close()


def test_two_files_run_side_by_side_and_a_third_waits(pool: Pool, tmp_path: Path) -> None:
    found: list[str | None] = []
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    threads = [
        threading.Thread(target=lambda n=name: found.append(pool.transcribe(tmp_path / n).model)) for name in "abc"
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while len(pool.pids) < 2 or len(list(tmp_path.glob("?.*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.1)
    assert len(list(tmp_path.glob("?.*"))) == 2 and found == []
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(20)
    # Each takes its part of the five cores.
    assert found == ["2 threads"] * 3
    assert len(pool.pids) == 2


def test_one_file_at_a_time_needs_one_process(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    (tmp_path / "a").write_bytes(b"a")
    pool.transcribe(tmp_path / "a")
    pool.transcribe(tmp_path / "a")
    assert len(pool.pids) == 1


def test_a_process_that_dies_takes_its_own_file_only(pool: Pool, tmp_path: Path) -> None:
    for name in ("a", "dies"):
        (tmp_path / name).write_bytes(name.encode())
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(pool.transcribe(tmp_path / "a").model))
    thread.start()
    with pytest.raises(TransientError, match="ended with 3"):
        pool.transcribe(tmp_path / "dies")
    (tmp_path / "go").touch()
    thread.join(20)
    assert found == ["2 threads"]
    assert all(pid != os.getpid() for pid in pool.pids)
