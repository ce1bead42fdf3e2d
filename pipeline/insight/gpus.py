"""Which NVIDIA GPUs this machine has, by NVML when its Python package is there, else by nvidia-smi."""

from __future__ import annotations

import shutil
import subprocess

from pipeline.insight.catalog import Gpu

ASK_S = 10.0


def gpus() -> list[Gpu]:
    """All of them; none when there are none or none can be asked."""
    try:
        import pynvml
    except ImportError:
        return _from_smi()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return _from_smi()
    try:
        found = []
        for i in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(i)
            name = pynvml.nvmlDeviceGetName(handle)
            total = pynvml.nvmlDeviceGetMemoryInfo(handle).total
            found.append(Gpu(name if isinstance(name, str) else name.decode(), round(total / 2**30, 1)))
        return found
    except pynvml.NVMLError:
        return _from_smi()
    finally:
        pynvml.nvmlShutdown()


def _from_smi() -> list[Gpu]:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return []
    command = [smi, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return read_smi(said)


def read_smi(said: str) -> list[Gpu]:
    """`NVIDIA H200, 143771` a line, in MiB; a line that is not so is left out."""
    found = []
    for line in said.splitlines():
        name, comma, memory = line.rpartition(",")
        if comma and name.strip() and memory.strip().isdigit():
            found.append(Gpu(name.strip(), round(int(memory) / 1024, 1)))
    return found
