"""Makes the tuned encoder small: weights of about 2.4 bits each. Needs PyTorch.

Layer by layer, and matrix by matrix in it: first the matrix that makes of what the rounded network gives it what the
whole network would have by least squares, which makes up for what was lost below; then that one's rounding by
bench/squeeze.py; then the bias that makes the means the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import nn

from bench.ranker_encoder import MATRICES, READ_AT_ONCE, THREADS, Net, by_length
from bench.squeeze import DAMP, Levels, Matrix, made_up_for, nearest, steps_of, towards
from pipeline.insight.reading import AHEAD, MAX_TOKENS, Pair

RATIO, EMBEDDED = 1.12, 1.8
"""Of a row's spread to its step."""
OF_LAYER = (0.8, 1.4, 1.3, 1.55, 1.6, 1.55, 1.3, 1.1, 0.68, 0.6, 0.6, 0.6)
OF_MATRIX = {"q": 0.85, "k": 0.85, "v": 1.5, "o": 1.25, "f1": 1.05, "f2": 0.85}
LEAST = 0.6
"""RATIO is multiplied by both, but by no less than this: the root of the error that rounding a weight of that matrix
alone makes in the values (32 passages), as equal errors per weight cost the fewest bits. Last layers matter little."""
CALIBRATED_ON = 300
SETTINGS = [RATIO, EMBEDDED, OF_LAYER, OF_MATRIX, LEAST, CALIBRATED_ON, MAX_TOKENS, DAMP]
PLACES = MAX_TOKENS + AHEAD


class Rounded(nn.Module):  # type: ignore[misc, unused-ignore]
    """A linear part whose weights are whole numbers of a row's step."""

    def __init__(self, levels: Levels, steps: Matrix, bias: Matrix):
        super().__init__()
        # Up to 256 is exact in this type.
        self.register_buffer("levels", torch.from_numpy(levels).to(torch.bfloat16))
        self.register_buffer("steps", torch.from_numpy(steps[:, 0].copy()))
        self.register_buffer("bias", torch.from_numpy(bias))

    def forward(self, x: Any) -> Any:
        return functional.linear(x.to(torch.bfloat16), self.levels) * self.steps + self.bias


class Table(nn.Module):  # type: ignore[misc, unused-ignore]
    """Embeddings as whole numbers of a step."""

    def __init__(self, weight: Matrix):
        super().__init__()
        steps = steps_of(weight, EMBEDDED)
        self.register_buffer("levels", torch.from_numpy(nearest(weight, steps)))
        self.register_buffer("steps", torch.from_numpy(steps))

    def forward(self, ids: Any) -> Any:
        return self.levels[ids] * self.steps[ids]


def squeezed(net: Net, kept: Sequence[int], pairs: Sequence[Pair]) -> Net:
    """`net` rounded, in place, with the `kept` rows of the vocabulary only; `pairs` are passages in tokens of those, on
    some of which it is calibrated."""
    torch.set_num_threads(THREADS)
    some = [pairs[i] for i in np.random.default_rng(0).choice(len(pairs), CALIBRATED_ON, replace=False)]
    order = [some[i] for i in by_length(some)]
    batches = [net.batch(order[i : i + READ_AT_ONCE]) for i in range(0, len(order), READ_AT_ONCE)]
    table = net.word.weight.detach().numpy()[[*range(AHEAD), *(AHEAD + i for i in kept)]]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        net.word = nn.Embedding.from_pretrained(torch.from_numpy(table))
        whole = [net.embedded(ids) for ids, _, _ in batches]
        net.word = Table(table)
        ours = [net.embedded(ids) for ids, _, _ in batches]
        masks = [(mask.bool(), net.bias(mask)) for _, mask, _ in batches]
        for number, layer in enumerate(net.layers):
            wanted, whole = _seen(layer, whole, masks)
            for names, beside in ((("q", "k", "v"), None), (("o",), "q"), (("f1",), None), (("f2",), "f1")):
                given, _ = _seen(layer, ours, masks)
                x, z = given[names[0]], wanted[names[0]]
                off = wanted[beside].float() - given[beside].float() if beside else None
                found = _Inputs(x.float(), z.float(), off)
                for name in names:
                    ratio = RATIO * max(LEAST, OF_LAYER[number] * OF_MATRIX[name])
                    setattr(layer, name, found.rounded(getattr(layer, name), ratio))
            _, ours = _seen(layer, ours, masks)
            print(f"  layer {number + 1} of {len(net.layers)} is rounded", flush=True)
    return net


class _Inputs:
    """What goes into a matrix: x (tokens, in) in our network, z in the whole one; and off (tokens, out), by how much
    that to which the matrix's output is added is off."""

    def __init__(self, x: Any, z: Any, off: Any | None):
        with torch.autocast("cpu", enabled=False):
            self._moment, self._cross = ((a.T @ x / len(x)).numpy() for a in (x, z))
            self._beside = (off.T @ x / len(x)).numpy() if off is not None else None
        self._x, self._z = x.mean(0).numpy(), z.mean(0).numpy()
        self._off = off.mean(0).numpy() if off is not None else 0.0

    def rounded(self, part: Any, ratio: float) -> Rounded:
        weight, bias = part.weight.numpy(), part.bias.numpy()
        steps = steps_of(weight, ratio)
        levels = made_up_for(towards(weight, self._moment, self._cross, self._beside), steps, self._moment)
        return Rounded(levels, steps, bias + self._off + weight @ self._z - (levels * steps) @ self._x)


def _seen(layer: Any, inputs: Sequence[Any], masks: Sequence[tuple[Any, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """What goes into q (k and v get the same), o, f1 and f2, shape (tokens, in), and what the layer makes of it."""
    seen: dict[str, list[Any]] = {name: [] for name in ("q", "o", "f1", "f2")}
    hooks = [
        getattr(layer, name).register_forward_hook(lambda _part, given, _made, rows=rows: rows.append(given[0]))
        for name, rows in seen.items()
    ]
    made = [layer(x, bias).float() for x, (_, bias) in zip(inputs, masks, strict=True)]
    for hook in hooks:
        hook.remove()
    chosen = [mask for mask, _ in masks]
    return {
        name: torch.cat([r[m].to(torch.bfloat16) for r, m in zip(rows, chosen, strict=True)])
        for name, rows in seen.items()
    }, made


def arrays(net: Net) -> Mapping[str, NDArray[Any]]:
    """What bench/ranker_export.py writes of a network that `squeezed` made."""
    found = {f"word.{kind}": getattr(net.word, kind).numpy() for kind in ("levels", "steps")}
    found["pos.weight"] = net.pos.weight.detach().numpy()[2 : PLACES + 2]
    for name, p in net.named_parameters():
        if not name.startswith(("pos", "layers")) or ".n1." in name or ".n2." in name:
            found[name] = p.detach().numpy()
    for number, layer in enumerate(net.layers):
        for name in MATRICES:
            part = getattr(layer, name)
            found[f"layers.{number}.{name}.levels"] = part.levels.to(torch.int8).numpy()
            found[f"layers.{number}.{name}.steps"] = part.steps.numpy()
            found[f"layers.{number}.{name}.bias"] = part.bias.numpy()
    return found
