"""What this machine offers speech recognition: models to try, cores, memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from pipeline import weights
from pipeline.insight.gpus import gpus

MEMORY_SHARE = 0.8
"""Of the machine's memory: a child that holds more is stopped before the system stops something else."""


Model = tuple[str, str, str]
"""Name or folder, label, CTranslate2's compute type."""

TURBO_GIB = 8.0
SMALL_GPU_GIB = 4.0
"""What large-v3-turbo wants with 16 windows at a time, in float16 and as int8: by figures that faster-whisper published
for large-v2 (6.1 and 4.5 GB for eight windows), not by ours. Where it does not fit, the batch is halved."""
SMALL_GIB = 1.2
"""Base holds 0.8 GB at its peak (docs/transcripts.md)."""


def models(
    model: str, cache: Path, compute: str = "auto", *, gpu_gib: float | None = None, memory_gib: float = 16.0
) -> dict[str, list[Model]]:
    """Models to try in order on each device. A hub's `base` equals the packages' by sha256.

    `gpu_gib` is a child's share of the smallest GPU's memory (None where it is not known), `memory_gib` of the
    machine's. A model or compute type that somebody set is tried alone.
    """

    def typed(source: str, label: str, cuda: bool, light: bool = False) -> Model:
        own = ("int8_float16" if light else "float16") if cuda else "int8"
        return source, label, own if compute == "auto" else compute

    base = ("base", "whisper-base")
    if model in ("auto", "base") and weights.has_whisper_base():
        base = (str(weights.whisper_base(cache).resolve()), "whisper-base")
    if model == "auto":
        turbo = ("large-v3-turbo", "whisper-large-v3-turbo")
        gpu = TURBO_GIB if gpu_gib is None else gpu_gib
        cuda = [typed(*turbo, cuda=True, light=gpu < TURBO_GIB)] if gpu >= SMALL_GPU_GIB else []
        tiny = [typed("tiny", "whisper-tiny", cuda=False)] if memory_gib < SMALL_GIB else []
        return {"cpu": [*tiny, typed(*base, cuda=False)], "cuda": [*cuda, typed(*base, cuda=True)]}
    one = base if model == "base" else (model, f"whisper-{model}")
    folder = Path(model)
    if folder.is_dir():
        one = (str(folder.resolve()), folder.name)
    return {"cpu": [typed(*one, cuda=False)], "cuda": [typed(*one, cuda=True)]}


def gpu_gib() -> float | None:
    """Memory of the smallest GPU; None where there is none or none tells."""
    return min((gpu.memory_gib for gpu in gpus()), default=None)


def memory_limit() -> int:
    """Bytes that the child may hold: a share of the machine's memory, or of the container's where that is less."""
    total = psutil.virtual_memory().total
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return int(total * MEMORY_SHARE)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
