"""The real Whisper base model in its real child process, on a demo show."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from bench.sound import demo, mix
from bench.words import compare, tokens
from pipeline import weights
from pipeline.errors import RefusedError, TransientError
from pipeline.settings import WhisperSettings
from pipeline.transcript.make import make
from pipeline.transcript.whisper import WhisperTranscriber

pytestmark = [
    pytest.mark.whisper,
    pytest.mark.xdist_group("whisper"),
    pytest.mark.skipif(not weights.has_whisper_base(), reason="the packages with the whisper-base weights are missing"),
]
ROOT = Path(__file__).resolve().parents[2]
EPISODE = next(
    e for e in json.loads((ROOT / "samples/expectations.json").read_text("utf-8"))["episodes"] if e["ad_s"] is not None
)
CLIP_S = 48.0
EPISODES = {e["id"]: [s["text"] for s in e["segments"]] for e in demo()}


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WhisperTranscriber]:
    made = WhisperTranscriber(WhisperSettings(), tmp_path_factory.mktemp("data"))  # type: ignore[call-arg]
    yield made
    made.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of a demo show: music, then two voices."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp3"
    with av.open(str(ROOT / "samples" / EPISODE["audio"])) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.pts is not None and float(packet.pts * packet.time_base) < CLIP_S:
                packet.stream = stream
                target.mux(packet)
    return path


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_a_demo_show_is_heard_at_the_right_second(transcriber: WhisperTranscriber, clip: Path) -> None:
    seconds: list[float] = []
    found = make(clip, transcriber, None, seconds.append)
    assert found.language == "en"
    assert found.model == "whisper-base int8"
    assert found.duration_s == pytest.approx(CLIP_S, abs=0.1)
    assert found.missing_speech_s < 1.5
    assert seconds[-1] == pytest.approx(CLIP_S, abs=0.1)
    compared = 0
    for segment in EPISODE["segments"]:
        if segment["end"] < CLIP_S - 1:
            opening = words(segment["text"])[:3]
            starts = [s.start for s in found.sentences if words(s.text)[:3] == opening]
            if starts:
                assert min(abs(start - segment["start"]) for start in starts) <= 1.0
                compared += 1
    assert compared >= 8
    # Nothing is made up over the music at the beginning.
    assert found.sentences[0].start > EPISODE["music_s"][1] - 1.0


def test_nothing_is_heard_where_nobody_speaks(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    path = tmp_path / "chord.wav"
    time_s = np.arange(16_000 * 20) / 16_000
    chord = sum(np.sin(2 * np.pi * pitch * time_s) for pitch in (261.6, 329.6, 392.0)) * (time_s < 10) * 6000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(chord.astype(np.int16).tobytes())
    found = transcriber.transcribe(path)
    assert (found.sentences, found.language, found.duration_s, found.missing_speech_s) == ((), None, 20.0, 0.0)


def test_no_sentence_is_made_up_over_music_silence_and_outro(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    path, said, first = mix(tmp_path / "mix.wav", last=(4, 4))
    found = make(path, transcriber, "en")
    true = tokens(" ".join(text for _, text in said))
    heard = tokens(" ".join(s.text for s in found.sentences))
    compared = compare(true, heard)
    # What was heard beyond what was said would be the phantoms; misheard names are not more words.
    assert len(heard) - sum(m is not None for m in compared.match) <= 0.08 * len(true)
    assert compared.errors <= 0.1 * len(true)
    # Music before, silence between, hiss and music after: no sentence reaches into them.
    begin, silence = said[first][0], next(at for at, text in said if text == EPISODES["slow-software-02"][1]) - 20.0
    assert found.sentences[0].start == pytest.approx(begin, abs=0.5)
    for s in found.sentences:
        assert s.start > begin - 0.5
        assert s.end < silence + 0.5 or s.start > silence + 19.5, s
        assert s.end < found.duration_s - 20.5, s
    assert found.quality["missing"] == [] and found.poor is None


def test_killed_in_the_middle_then_well_again(transcriber: WhisperTranscriber, clip: Path) -> None:
    transcriber.transcribe(clip, language="en")
    pid = transcriber.pid
    assert pid is not None
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(TransientError, match="killed by signal 9"):
        transcriber.transcribe(clip, language="en")
    assert transcriber.transcribe(clip, language="en").sentences


def test_what_is_no_audio_is_refused_by_the_same_child(transcriber: WhisperTranscriber, tmp_path: Path) -> None:
    path = tmp_path / "page.mp3"
    path.write_text("<html>not found</html>", "utf-8")
    with pytest.raises(RefusedError, match=r"page\.mp3"):
        transcriber.transcribe(path)


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pipeline.transcript.whisper import _Child; child = _Child(); "
        "print(child.process.pid, flush=True); sys.stdin.readline(); os._exit(9)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.stdin.write("\n")
        parent.stdin.flush()
        parent.wait(10)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child outlived its parent")
