"""Whisper behind the Transcriber Protocol: a watched child process, started when needed, replaced when it dies."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pipeline
from pipeline.errors import RefusedError, TransientError
from pipeline.records import Transcript
from pipeline.resources import resource
from pipeline.settings import WhisperSettings
from pipeline.transcript import machine, reply
from pipeline.transcript.base import Progress, Recognition, Word
from pipeline.transcript.reply import OutOfMemoryError
from pipeline.transcript.watch import MOST_S, Watch

RECYCLE_AFTER = 20
"""Files a child transcribes before a fresh one takes over; GPU memory creeps."""
GROWN_BYTES = 2_000_000_000
"""So much more memory than after loading, when a file is done, also means a fresh child."""
LOAD_S = 3600.0
"""Loading may download gigabytes."""
_TAIL_LINES = 30
_LOOK_S = 0.5

# The package is imported from where this process has it, whatever the working folder or PYTHONPATH hold; after that
# the search path is as it was.
_BOOT = (
    "import sys; sys.path.insert(0, {root!r}); import pipeline; del sys.path[0]; "
    "from pipeline.transcript.whisper_child import main; main()"
)


class WhisperTranscriber:
    """Transcribes one file at a time; other threads wait. `close` may be called at any time, also during a file."""

    def __init__(
        self,
        settings: WhisperSettings,
        data_dir: Path,
        *,
        max_hours: float = 8.0,
        stall_s: float = MOST_S,
        beside: int = 1,
    ) -> None:
        """`beside` is how many of these share the machine: each takes its part of cores and memory."""
        self._settings, self._models = settings, data_dir / "models"
        self._max_s, self._stall_s, self._beside = max_hours * 3600, stall_s, beside
        self._job = threading.Lock()
        self._child: _Child | None = None
        self._model, self._files, self._loaded_rss, self._halved = "", 0, 0, 0

    def transcribe(self, audio: Path, *, language: str | None = None, progress: Progress | None = None) -> Transcript:
        """The transcript of `recognise`."""
        return self.recognise(audio, language=language, progress=progress).transcript

    def recognise(
        self, audio: Path, *, language: str | None = None, hints: str | None = None, progress: Progress | None = None
    ) -> Recognition:
        """Transcribe a file; `hints` are words that may be said in it, `progress` gets the seconds of audio done.

        Raises RefusedError for what is not audio, ConfigError when no model loads, TransientError when the child dies,
        stalls or runs out of memory: the next call starts a fresh one.
        """
        with self._job:
            sha256 = _sha256(audio)
            request = {"do": "transcribe", "audio": str(audio.resolve()), "language": language, "max_s": self._max_s}
            request["hints"] = hints
            result = self._work(request, progress)
            self._files += 1
            if self._files >= RECYCLE_AFTER or result.get("rss", 0) > self._loaded_rss + GROWN_BYTES:
                self._drop()
            words = tuple(Word(*word) for word in result["words"])
            return Recognition(reply.transcript(result, words, self._model, sha256), words)

    def hear(self, audio: Path, spans: Sequence[tuple[float, float]], language: str | None = None) -> list[list[Word]]:
        """The words of a few short spans (seconds), with their times in the file. Raises as `transcribe` does."""
        with self._job:
            request = {"do": "transcribe", "audio": str(audio.resolve()), "language": language, "spans": list(spans)}
            samples = self._work(request, None)["samples"]
            return [[Word(*word) for word in sample] for sample in samples]

    def _work(self, request: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
        """Let the child answer a request; after anything but a refusal of the audio it is thrown away."""
        child = self._ready()
        try:
            return self._ask(child, request, "result", self._stall_s, progress)
        except RefusedError:
            raise
        except OutOfMemoryError:
            self._halved += 1
            self._drop()
            raise
        except BaseException:
            self._drop()
            raise

    def self_test(self) -> None:
        """Load the model and require the words of a known clip. Raises ConfigError, TransientError."""
        with self._job:
            self._ready()

    @property
    def pid(self) -> int | None:
        """The child's process id, for the operator's view of memory; None while there is none."""
        child = self._child
        return child.process.pid if child is not None else None

    def close(self) -> None:
        """Stop the child. A file under way ends with a TransientError."""
        self._drop()

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def _ready(self) -> _Child:
        if self._child is not None and self._child.process.poll() is None:
            return self._child
        self._drop()
        child = self._child = _Child()
        request = {
            "do": "load",
            "device": self._settings.device,
            "models": self._candidates(),
            "threads": self._settings.threads or max(1, machine.cores() // self._beside),
            "beam": self._settings.beam,
            "batch": self._settings.batch,
            "halved": self._halved,
            "downloads": str((self._models / "downloads").resolve()),
            "self_test": str(resource("selftest.mp3")),
        }
        try:
            ready = self._ask(child, request, "ready", None, None)
        except BaseException:
            self._drop()
            raise
        self._model, self._loaded_rss, self._files = ready["model"], ready.get("rss", 0), 0
        return child

    def _candidates(self) -> dict[str, list[machine.Model]]:
        gpu = machine.gpu_gib() if self._settings.device != "cpu" else None
        return machine.models(
            self._settings.model,
            self._models,
            self._settings.compute,
            gpu_gib=None if gpu is None else gpu / self._beside,
            memory_gib=machine.memory_limit() / self._beside / 2**30,
        )

    def _ask(
        self, child: _Child, request: dict[str, Any], wanted: str, stall_s: float | None, progress: Progress | None
    ) -> dict[str, Any]:
        child.send(request)
        begun = time.monotonic()
        watch = Watch(begun, stall_s or LOAD_S, machine.memory_limit() // self._beside)
        while True:
            event = child.next(_LOOK_S)
            now = time.monotonic()
            if event is not None:
                watch.saw(event, now)
            # Loading may download for an hour, and does little but wait.
            why = watch.verdict(now) if stall_s is not None else "it took an hour" if now - begun > LOAD_S else None
            if event is None or why is not None:
                if why is None:
                    continue
                raise TransientError(
                    "Speech recognition made no progress",
                    why=why,
                    hint="a smaller model (PODSIFT_WHISPER_MODEL) or fewer things at a time may help",
                )
            if event["event"] == wanted:
                return event
            if event["event"] == "progress" and progress is not None:
                progress(event["seconds"])
            if event["event"] == "error":
                raise reply.error(event)


class _Child:
    """One child process and the threads that empty its pipes."""

    def __init__(self) -> None:
        root = str(Path(pipeline.__file__).resolve().parent.parent)
        # Secrets of the parent's settings are none of a decoder's business.
        env = {name: value for name, value in os.environ.items() if not name.startswith("PODSIFT_")}
        env |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT.format(root=root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._threads = [
            threading.Thread(target=self._read_events, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._read_tail, args=(self.process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError) as e:
            raise self._death() from e

    def next(self, wait_s: float) -> dict[str, Any] | None:
        """The next event, or None when there is none for `wait_s` seconds. Raises TransientError for a dead child."""
        try:
            event = self._events.get(timeout=wait_s)
        except queue.Empty:
            return None
        if event is None:
            raise self._death()
        return event

    def stop(self) -> None:
        """Kill the process and release its pipes; harmless when called twice."""
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _read_events(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            try:
                self._events.put(json.loads(line))
            except ValueError:
                break
        self._events.put(None)

    def _read_tail(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            self._tail.append(line.decode("utf-8", "replace").rstrip()[:500])

    def _death(self) -> TransientError:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
        else:
            self._threads[1].join(1)  # its last words may still be in the pipe
        said = " | ".join(line for line in list(self._tail)[-3:] if line)
        ended = (
            "broke its pipe" if code is None else f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        )
        return TransientError(
            "The Whisper process died",
            why=f"it {ended}" + (f": {said}" if said else ""),
            hint="signal 9 is mostly a lack of memory; a fresh process starts with the next file",
        )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise RefusedError(f"{path.name} cannot be read") from e
