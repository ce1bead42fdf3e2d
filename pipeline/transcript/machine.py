"""What this machine offers speech recognition: models to try, cores, memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from pipeline import weights

MEMORY_SHARE = 0.8
"""Of the machine's memory: a child that holds more is stopped before the system stops something else."""


def models(model: str, cache: Path) -> dict[str, list[tuple[str, str]]]:
    """Models to try in order on each device: (name or folder, label). A hub's `base` equals the packages' by sha256."""
    base = (
        (str(weights.whisper_base(cache).resolve()), "whisper-base")
        if model in ("auto", "base") and weights.has_whisper_base()
        else ("base", "whisper-base")
    )
    if model == "auto":
        return {"cpu": [base], "cuda": [("large-v3-turbo", "whisper-large-v3-turbo"), base]}
    one = base if model == "base" else (model, f"whisper-{model}")
    folder = Path(model)
    if folder.is_dir():
        one = (str(folder.resolve()), folder.name)
    return {"cpu": [one], "cuda": [one]}


def memory_limit() -> int:
    """Bytes that the child may hold: a share of the machine's memory, or of the container's where that is less."""
    total = psutil.virtual_memory().total
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return int(total * MEMORY_SHARE)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
