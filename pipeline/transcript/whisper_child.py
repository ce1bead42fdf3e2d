"""The child process that holds Whisper: a request a line on stdin, events a line on stdout, JSON both ways.

It lives apart because a GPU out of memory poisons its process, memory creeps over hours, and hostile audio may crash
FFmpeg. It ends when its parent does: stdin closes, or the parent's id changes. (Linux's PR_SET_PDEATHSIG is no use
here: it fires when the parent's *thread* ends, and a worker thread may well end before its transcriber.)
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import psutil

from pipeline.errors import RefusedError

SELF_TEST_WORDS = frozenset("last week told watch number age oldest job".split())  # noqa: SIM905 - reads as the sentence
"""Of `selftest.mp3`: "Last week I told you to watch one number, the age of the oldest job." (samples/, CC0)."""
_SELF_TEST_SHARE = 0.75
BEAT_S = 5.0
_SAYING = threading.Lock()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides.
    # Libraries print to stdout; the protocol keeps the real one for itself.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        requests: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=_read, args=(requests, os.getppid()), daemon=True).start()
        threading.Thread(target=_beat, args=(out,), daemon=True).start()
        recogniser = None
        while True:
            request = requests.get()
            try:
                if request["do"] == "load":
                    recogniser = _load(request, out)
                elif recogniser is not None:
                    _transcribe(recogniser, request, out)
            except RefusedError as e:
                _say(out, event="error", kind="audio", message=e.message, why=e.cause())
            except Exception as e:  # whatever it was, the parent says it and goes on
                memory = isinstance(e, MemoryError) or "out of memory" in str(e).lower()
                _say(out, event="error", kind="memory" if memory else "other", message=f"{type(e).__name__}: {e}")
                if memory:
                    return


def _read(requests: queue.Queue[dict[str, Any]], parent: int) -> None:
    """Requests from stdin; the process ends at its end, also in the middle of a file."""
    held = b""
    while True:
        ready, _, _ = select.select([0], [], [], 2.0)
        if os.getppid() != parent:
            os._exit(0)
        if not ready:
            continue
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            requests.put(json.loads(line))


def _beat(out: TextIO) -> None:
    """That this process lives, what it has used and what it holds, also in the middle of a batch."""
    me = psutil.Process()
    while True:
        time.sleep(BEAT_S)
        try:
            _say(out, event="alive", cpu_s=round(time.process_time(), 2), rss=me.memory_info().rss)
        except (OSError, ValueError):
            return


def _say(out: TextIO, **event: Any) -> None:
    with _SAYING:
        out.write(json.dumps(event) + "\n")
        out.flush()


def _load(request: dict[str, Any], out: TextIO) -> Any:
    """Load the first model of the device's list that loads, and make it prove that it hears."""
    import ctranslate2
    from faster_whisper import WhisperModel

    from pipeline.transcript.recognise import Recogniser

    device = request["device"]
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"
    problems = []
    for source, label, compute in request["models"][device]:
        try:
            model = WhisperModel(
                source,
                device=device,
                compute_type=compute,
                cpu_threads=request["threads"],
                download_root=request["downloads"],
            )
        except Exception as e:
            problems.append(f"{label}: {type(e).__name__}: {e}".replace("\n", " ")[:400])
            continue
        recogniser = Recogniser(
            model,
            device=device,
            beam=request["beam"],
            batch=max(1, (request["batch"] or (16 if device == "cuda" else 4)) >> request["halved"]),
        )
        heard = recogniser.words(Path(request["self_test"]), "en")
        known = {"".join(filter(str.isalpha, word)).lower() for word in heard} & SELF_TEST_WORDS
        if len(known) < _SELF_TEST_SHARE * len(SELF_TEST_WORDS):
            problems.append(f"{label}: on {device} it heard {' '.join(heard).strip()!r} in the self-test clip")
            continue
        rss = psutil.Process().memory_info().rss
        _say(out, event="ready", model=f"{label} {compute}", device=device, problems=problems, rss=rss)
        return recogniser
    _say(out, event="error", kind="model", message="; ".join(problems))
    return None


def _transcribe(recogniser: Any, request: dict[str, Any], out: TextIO) -> None:
    from pipeline.audio.decode import header_s

    audio = Path(request["audio"])
    _say(out, event="begun", seconds=header_s(audio))
    if "spans" in request:
        found = recogniser.hear(audio, request["language"], request["spans"])
        _say(out, event="result", samples=found)
        return
    result = recogniser.transcribe(
        audio,
        request["language"],
        request["max_s"],
        lambda seconds: _say(out, event="progress", seconds=round(seconds, 1)),
        request["hints"],
    )
    _say(out, event="result", rss=psutil.Process().memory_info().rss, **result)
