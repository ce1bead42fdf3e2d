"""Ways to recognise speech, each in a process of its own so that its memory is its own: ours and bare faster-whisper.

    python -m bench.recognisers batched < request.json > result.json

The request is `{files, language, device, model, compute, threads, batch, beam, cache}`; the result, for each file,
`{words: [[start, end, text]], cpu_s, wall_s, missing_s}`, and `load_cpu_s`, `peak_bytes` of all.
"""

from __future__ import annotations

import json
import resource as limits
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

SYSTEMS = ("sequential", "batched", "ours", "told")
"""The last is ours, told the words of the feed where the file has one."""
Words = list[tuple[float, float, str]]
System = tuple[Callable[[str], Words], Callable[[], float], Callable[[], int]]
"""Recognises a file; CPU-seconds of all its processes so far; their largest memory in bytes."""


def bare(
    request: dict[str, Any], batched: bool
) -> tuple[Callable[[str], Words], Callable[[], float], Callable[[], int]]:
    """faster-whisper as its manual shows it, with word timestamps and its VAD."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(
        request["model"], device=request["device"], compute_type=request["compute"], cpu_threads=request["threads"]
    )
    pipeline = BatchedInferencePipeline(model) if batched else None

    def run(path: str) -> Words:
        options = {"language": request["language"], "beam_size": request["beam"], "word_timestamps": True}
        if pipeline is not None:
            segments, _ = pipeline.transcribe(path, batch_size=request["batch"], **options)
        else:
            segments, _ = model.transcribe(path, vad_filter=True, **options)
        return [(float(w.start), float(w.end), w.word) for s in segments for w in s.words or ()]

    return run, time.process_time, lambda: limits.getrusage(limits.RUSAGE_SELF).ru_maxrss * 1024


def ours(request: dict[str, Any], told: dict[str, str]) -> System:
    """The whole stage but for the database: the watched child, the checks, sentences, marks with embeddings."""
    from pipeline import weights
    from pipeline.insight.embed import MiniLmEmbedder
    from pipeline.resources import resource
    from pipeline.settings import WhisperSettings
    from pipeline.transcript import structure
    from pipeline.transcript.whisper import WhisperTranscriber

    settings = WhisperSettings(
        model=request["setting"],
        device=request["device"],
        threads=request["threads"],
        batch=request["batch"],
        beam=request["beam"],
    )  # type: ignore[call-arg]
    transcriber = WhisperTranscriber(settings, Path(request["cache"]))
    transcriber.self_test()
    embedder = MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))
    child = psutil.Process(transcriber.pid)

    def run(path: str) -> Words:
        found = transcriber.recognise(Path(path), language=request["language"], hints=told.get(path))
        t = found.transcript
        structure.mark(t.sentences, duration_s=t.duration_s, embedder=embedder)
        return [(w.start, w.end, w.text) for w in found.words]

    def cpu_s() -> float:
        used = child.cpu_times()
        return time.process_time() + used.user + used.system

    def peak() -> int:
        status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
        high = int(status.split("VmHWM:")[1].split()[0]) * 1024
        return high + limits.getrusage(limits.RUSAGE_SELF).ru_maxrss * 1024

    return run, cpu_s, peak


def missing_s(path: str, words: Words) -> tuple[float, float]:
    """Seconds of speech as the VAD hears it, and of speech without words, by our rule for all systems."""
    import numpy as np

    from pipeline.audio.decode import decode
    from pipeline.transcript import quality
    from pipeline.transcript.voice import speech_of

    speech = speech_of(np.concatenate(list(decode(Path(path), 600.0))))
    return quality.total_s(speech), quality.total_s(quality.missed(speech, sorted((a, b) for a, b, _ in words)))


def main(argv: Sequence[str] = sys.argv) -> None:
    request = json.load(sys.stdin)
    system = argv[1]
    if system in ("ours", "told"):
        run, cpu_s, peak = ours(request, request["hints"] if system == "told" else {})
    else:
        run, cpu_s, peak = bare(request, system == "batched")
    result: dict[str, Any] = {"load_cpu_s": cpu_s(), "files": []}
    for path in request["files"]:
        cpu, wall = cpu_s(), time.monotonic()
        words = run(path)
        result["files"].append({"words": words, "cpu_s": cpu_s() - cpu, "wall_s": time.monotonic() - wall})
    result["peak_bytes"] = peak()
    for path, file in zip(request["files"], result["files"], strict=True):
        file["speech_s"], file["missing_s"] = missing_s(path, file["words"])
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
