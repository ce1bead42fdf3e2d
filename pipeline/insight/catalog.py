"""Sparse MoE models that can be served, what they need, and which one a machine can hold.

The figures are pipeline/data/models.json, each with its source. Memory is worked out from parameters and precision and
not measured: measure what you serve with `podsift llm bench`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.errors import NotFoundError
from pipeline.resources import resource

OVERHEAD = 1.1
"""Of the weights: activations, buffers, graphs."""
CACHE_GIB = 4.0
"""For what 16 prompts of a few thousand tokens keep; more is used when it is there."""
CONTEXT = 16_384
"""Longer than any prompt of ours; a longer one only takes memory from the cache."""
GGUF_BYTES = 0.6
"""A parameter in llama.cpp's Q4_K_M: 4.8 bits."""
THINKING = ("no", "switch", "always")


@dataclass(frozen=True, slots=True)
class Precision:
    """One form of the weights: its name, where it is, and its size."""

    name: str
    repository: str
    weights_gib: float

    @property
    def needed_gib(self) -> float:
        """GPU memory to serve it, all GPUs together."""
        return self.weights_gib * OVERHEAD + CACHE_GIB


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model; parameters in billions, context in tokens, `sources` by what they tell."""

    name: str
    total_b: float
    active_b: float
    context: int
    licence: str
    thinking: str
    """no; switch: the client switches it off; always: spoils one-token questions."""
    precisions: tuple[Precision, ...]
    gguf: str | None
    flags: tuple[str, ...]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU and its whole memory."""

    name: str
    memory_gib: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A model in a precision, on so many GPUs."""

    model: CatalogModel
    precision: Precision
    gpus: int


@lru_cache(maxsize=1)
def models() -> tuple[CatalogModel, ...]:
    """All models, small ones first."""
    listed = json.loads(resource("models.json").read_text("utf-8"))["models"]
    found = []
    for entry in listed:
        precisions = tuple(
            Precision(p["name"], p.get("repository", entry["name"]), _gib(entry["total_b"], p))
            for p in entry["precisions"]
        )
        values = {**entry, "precisions": precisions, "flags": tuple(entry["flags"])}
        found.append(CatalogModel(**values))
    return tuple(sorted(found, key=lambda m: m.total_b))


def model(name: str) -> CatalogModel:
    """By its name, or the part after the slash, in any case. Raises NotFoundError."""
    for known in models():
        if name.lower() in (known.name.lower(), known.name.split("/")[1].lower()):
            return known
    raise NotFoundError(f"{name} is not in the catalogue", hint="podsift llm models lists it")


def fitting(gpus: Sequence[Gpu]) -> list[Choice]:
    """What these GPUs can hold, best first: no forced thinking, then more parameters, then the higher precision.

    Parameters stand for how much a model knows, which is what finding insights asks for; sparse ones stay quick. GPUs
    are used in powers of two, alike ones only, as SGLang splits evenly.
    """
    found = []
    for m in models():
        for p in m.precisions:
            count = gpus_for(p, gpus)
            if count:
                found.append(Choice(m, p, count))
    best: dict[str, Choice] = {}
    for choice in sorted(found, key=lambda c: -c.precision.weights_gib):
        best.setdefault(choice.model.name, choice)
    return sorted(best.values(), key=lambda c: (c.model.thinking == "always", -c.model.total_b))


def on_cpu(memory: int) -> list[tuple[CatalogModel, float]]:
    """Models with a GGUF file that fit into so many bytes at four bits, with their GiB; the fewest active ones first.

    On a CPU the active parameters decide the speed; one that always thinks is of no use.
    """
    found = [(m, m.total_b * 1e9 * GGUF_BYTES / 2**30) for m in models() if m.gguf and m.thinking != "always"]
    fit = [(m, gib) for m, gib in found if gib * OVERHEAD + 2 <= memory / 2**30]
    return sorted(fit, key=lambda f: (f[0].active_b, -f[0].total_b))


def gpus_for(precision: Precision, gpus: Sequence[Gpu]) -> int:
    """The fewest of these GPUs that hold it; 0 when they cannot."""
    if not gpus:
        return 0
    least = min(gpu.memory_gib for gpu in gpus)
    count = 1
    while count <= len(gpus):
        if precision.needed_gib <= least * count:
            return count
        count *= 2
    return 0


def sglang_command(choice: Choice, *, python: str, host: str, port: int, context: int | None = None) -> list[str]:
    """How SGLang is started for it. `python` is the one of the environment that SGLang is installed in."""
    given = min(context or CONTEXT, choice.model.context)
    command = [python, "-m", "sglang.launch_server", "--model-path", choice.precision.repository]
    command += ["--served-model-name", choice.model.name, "--host", host, "--port", str(port)]
    command += ["--context-length", str(given), "--enable-cache-report", "--enable-metrics"]
    if choice.gpus > 1:
        command += ["--tp", str(choice.gpus)]
    return [*command, *choice.model.flags]


def _gib(total_b: float, precision: Mapping[str, float]) -> float:
    stated = precision.get("gib")
    return float(stated) if stated is not None else round(total_b * 1e9 * precision["bytes"] / 2**30, 1)
