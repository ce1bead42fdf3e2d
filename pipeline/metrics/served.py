"""What a language model's server and the GPUs say of themselves."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from pipeline.settings import LlmSettings

ASK_S = 3.0
MAX_BYTES = 2_000_000
PREFIXES = ("sglang:", "vllm:", "llamacpp:")
"""Whose own figures are handed on, each under its name with the server's address as a label."""
LOADS = {
    "num_running_reqs": "running",
    "num_waiting_reqs": "waiting",
    "token_usage": "token_usage",
    "gen_throughput": "tokens_a_second",
    "cache_hit_rate": "cache_hit_rate",
}
"""Of SGLang's /v1/loads, which is true where its gauges are stale; summed or averaged over its ranks."""
SUMMED = ("running", "waiting", "tokens_a_second")


@dataclass(frozen=True, slots=True)
class Served:
    """One server: whether it is ready, what it says of its load, and its own metrics."""

    url: str
    up: bool
    loads: Mapping[str, float] = field(default_factory=dict)
    families: tuple[Metric, ...] = ()


def look(url: str, llm: LlmSettings) -> Served:
    """Ask one server, for a few seconds at most. A server that does not answer is a figure too, no error."""
    root = url.rstrip("/").removesuffix("/v1")
    ready = _get(root + "/ready", llm)
    if ready is None:
        ready = _get(root + "/v1/models", llm)
    if ready is None:
        return Served(url, False)
    loads = read_loads(_get(root + "/v1/loads", llm))
    return Served(url, True, loads, tuple(read_metrics(_get(root + "/metrics", llm))))


def _get(url: str, llm: LlmSettings) -> bytes | None:
    headers = {} if llm.api_key is None else {"Authorization": f"Bearer {llm.api_key.get_secret_value()}"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - llm.url is checked to be http(s)
    try:
        # The operator's own server: no proxy of the environment stands between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=ASK_S) as answer:
            body: bytes = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return body if len(body) <= MAX_BYTES else None


def read_loads(raw: bytes | None) -> dict[str, float]:
    """The figures of LOADS, over all ranks; empty when the answer is none."""
    try:
        ranks = json.loads(raw or b"")["loads"]
        rows = [{LOADS[k]: float(r[k]) for k in LOADS if k in r} for r in ranks]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found: dict[str, float] = {}
    for name in LOADS.values():
        values = [r[name] for r in rows if name in r and math.isfinite(r[name])]
        if values:
            found[name] = sum(values) if name in SUMMED else sum(values) / len(values)
    return found


def read_metrics(raw: bytes | None) -> Iterator[Metric]:
    """Metric families that a server gives under PREFIXES; none when its text cannot be read."""
    if raw is None:
        return
    try:
        families = list(text_string_to_metric_families(raw.decode("utf-8", "replace")))
    except (ValueError, KeyError, IndexError):
        return
    yield from (f for f in families if f.name.startswith(PREFIXES))


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU now; memory in bytes, `busy` a share 0..1 (None where it cannot be asked)."""

    index: int
    name: str
    used: int
    total: int
    busy: float | None


def gpu_states() -> Sequence[GpuState]:
    """All NVIDIA GPUs of this machine; none without its library."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    found = []
    try:
        for i in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(i)
            name, memory = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetMemoryInfo(handle)
            try:
                busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            except pynvml.NVMLError:
                busy = None
            shown = name if isinstance(name, str) else name.decode()
            found.append(GpuState(i, shown, int(memory.used), int(memory.total), busy))
    except pynvml.NVMLError:
        return found
    finally:
        pynvml.nvmlShutdown()
    return found
