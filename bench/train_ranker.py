"""Trains the shipped passage ranker on graded episodes, and says how well it does on unseen ones.

    python -m bench.train_ranker ../shared          # pipeline/data/ranker.onnx.z, an hour on two threads
    python -m bench.train_ranker ../shared --folds  # figures on unseen episodes, and the regression in ranker.json

Deterministic: the same episodes, embedding file and packages on the same kind of processor give the same weights.
Cross-validation leaves whole episodes out, because passages of one episode are alike. Needs PyTorch, which the product
does not; docs/ranker.md says how to make an environment for it. What was trained stays in the temporary folder, so that
an interrupted run goes on where it was, and the second command trains nothing that the first one has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import BertWordPieceTokenizer

from bench.ranker_figures import print_calibration, print_figures
from bench.ranker_regression import (
    INSIGHT,
    READ_COLUMNS,
    Graded,
    Model,
    Screen,
    calibrate,
    fit,
    folds_of,
    others,
    shipped,
    unseen,
)
from bench.squeeze import coded
from pipeline import weights
from pipeline.insight import features
from pipeline.insight.embed import Embedder, MiniLmEmbedder, Vectors
from pipeline.insight.passage import passages
from pipeline.insight.rank import ENCODER, READ, VOCABULARY
from pipeline.insight.reading import VALUES, EncoderReader, pair
from pipeline.records import Passage, Sentence, Transcript
from pipeline.resources import PACKAGE, resource

VERSION = "encoder-2"
COMMON = 8_000
"""Tokens of the vocabulary, which begins with the frequent ones, that are kept in any case; of the others those which
the episodes have: half of the room. Rarer words are read in pieces."""
PINS = ("encoder_sha256", "vocabulary_sha256")
KEPT = Path(tempfile.gettempdir()) / "podsift-ranker"


def read_transcript(path: Path) -> Transcript:
    """A transcript whose segments are sentences already."""
    segments = json.loads(path.read_text("utf-8"))["segments"]
    return Transcript(
        "en",
        segments[-1]["endTime"],
        tuple(
            Sentence(i, s["startTime"], s["endTime"], s["body"], s.get("speaker"), None, (i, i))
            for i, s in enumerate(segments)
        ),
        "publisher",
    )


def read_graded(shared: Path, embedder: Embedder) -> list[Graded]:
    """Every graded episode; stops when the product would cut an episode otherwise than the graders did."""
    tokenizer = BertWordPieceTokenizer(str(resource("minilm-vocab.txt")), lowercase=True)
    found = []
    for path in sorted((shared / "gold").glob("*.json")):
        gold = json.loads(path.read_text("utf-8"))
        transcript = read_transcript(shared / "transcripts" / path.name)
        cut = passages(transcript)
        if [[p.first, p.last] for p in cut] != gold["spans"]:
            raise SystemExit(f"{path.name}: passage.py no longer cuts as the graders did")
        unread = np.full((len(cut), VALUES), np.nan)
        columns = np.hstack([features.matrix(cut, transcript), unread, _vectors(cut, transcript, embedder)])
        pairs = [pair(p, transcript, tokenizer) for p in cut]
        grades = np.array(gold["grades"], dtype=np.float64)
        found.append(Graded(path.stem, grades, columns, cut, transcript, pairs))
    return found


def _vectors(cut: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> Vectors:
    texts = [features.text_of(transcript, p.first, p.last) for p in cut]
    key = hashlib.sha256("\0".join([embedder.name, *texts]).encode()).hexdigest()[:24]
    cache = KEPT / f"{key}.npy"
    if not cache.exists():
        KEPT.mkdir(exist_ok=True)
        np.save(cache, embedder.embed(texts))
    kept: Vectors = np.load(cache)
    return kept


class Tuner:
    """Tunes encoders on some of the episodes and squeezes them, each once."""

    def __init__(self, episodes: Sequence[Graded]):
        # Needs PyTorch, which the figures of kept values and the tests do not.
        from bench import ranker_encoder, ranker_squeeze

        self._encoder, self._squeeze = ranker_encoder, ranker_squeeze
        self._episodes = episodes
        self._books = [ranker_encoder.Book(e.pairs, e.grades) for e in episodes]

    @cached_property
    def _below(self) -> Any:
        return self._encoder.below(self._books)

    def tuned(self, chosen: Sequence[int]) -> Path:
        """The weights tuned on the `chosen` episodes."""
        target = self._kept([self._encoder.SETTINGS], chosen).with_suffix(".pt")
        if not target.exists():
            print(f"tuning an encoder on {len(chosen)} episodes", flush=True)
            self._encoder.save(self._encoder.train(self._books, self._below, chosen), target)
        return target

    def squeezed(self, parts: Sequence[Path], chosen: Sequence[int]) -> tuple[Path, Path]:
        """The mean of tuned weights as the file that ships, calibrated on the `chosen` episodes, and its vocabulary."""
        from bench import ranker_export

        settings = [self._squeeze.SETTINGS, COMMON, [p.name for p in parts]]
        kept = self._kept(settings, chosen)
        target, vocabulary = kept.with_suffix(".onnx.z"), kept.with_suffix(".txt")
        if not target.exists():
            print(f"squeezing the mean of {len(parts)} encoders", flush=True)
            words = resource("minilm-vocab.txt").read_text("utf-8").split("\n")
            some = [self._episodes[i] for i in chosen]
            rows = vocabulary_of(some, words)
            vocabulary.write_text("\n".join(words[i] for i in rows), "utf-8")
            tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
            own = [pair(p, e.transcript, tokenizer) for e in some for p in e.cut]
            net = self._squeeze.squeezed(self._encoder.average(parts), rows, own)
            graph = ranker_export.graph_of(self._squeeze.arrays(net), self._encoder.LAYERS)
            work = target.with_suffix(".part")
            work.write_bytes(coded(graph.SerializeToString()))
            work.replace(target)
        return target, vocabulary

    def _kept(self, settings: Any, chosen: Sequence[int]) -> Path:
        digest = hashlib.sha256(json.dumps(settings).encode())
        for i in chosen:
            e = self._episodes[i]
            digest.update(json.dumps([e.name, e.pairs, e.grades.tolist()]).encode())
        KEPT.mkdir(exist_ok=True)
        return KEPT / digest.hexdigest()[:24]


def vocabulary_of(episodes: Sequence[Graded], words: Sequence[str]) -> list[int]:
    """Which of the words are kept, in their order."""
    seen = {t for e in episodes for both in e.pairs for part in both for t in part}
    return [i for i, w in enumerate(words) if w and not w.startswith("[unused") and (i < COMMON or i in seen)]


def read_unseen(episodes: Sequence[Graded], folds: Sequence[int], tuner: Tuner) -> list[Graded]:
    """Every episode read by an encoder that saw none of its fold."""
    found = list(episodes)
    for fold in sorted(set(folds)):
        chosen = others(folds, fold)
        encoder, vocabulary = tuner.squeezed([tuner.tuned(chosen)], chosen)
        left = unseen(folds, fold)
        kept = encoder.with_suffix(".npy")
        if not kept.exists():
            print(f"reading the {len(left)} episodes left out", flush=True)
            # By the same code that reads in the product.
            reader = EncoderReader(encoder, sha256_of(encoder), vocabulary, sha256_of(vocabulary))
            np.save(kept, np.vstack([reader.read(episodes[i].cut, episodes[i].transcript) for i in left]))
        parts = np.split(np.load(kept), np.cumsum([len(episodes[i].grades) for i in left])[:-1])
        for i, part in zip(left, parts, strict=True):
            columns = episodes[i].columns.copy()
            columns[:, READ_COLUMNS] = part
            found[i] = replace(episodes[i], columns=columns)
    return found


def sha256_of(file: Path) -> str:
    """In hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def document(
    model: Model, screen: Screen, curve: tuple[float, float], embedder: str, pins: Mapping[str, str], episodes: int
) -> dict[str, Any]:
    """What ranker.json holds: for each column its centre, its weight and its weight in the screen, to 7 digits.

    `pins` are the sha256 of the encoder and of its vocabulary, by their names there.
    """

    def short(value: float) -> float:
        return float(f"{value:.7g}")

    rows = zip([*features.NAMES, *READ], model.centre, model.weight, screen.model.weight, strict=False)
    return {
        "version": VERSION,
        "embedder": embedder,
        **pins,
        "trained_on": f"{episodes} graded episodes of Changelog Media's transcripts (CC BY-SA 4.0); see docs/ranker.md",
        "intercept": short(model.intercept),
        "slope": short(curve[0]),
        "offset": short(curve[1]),
        "least": short(screen.least - screen.model.intercept),
        "sure": short(screen.sure - screen.model.intercept),
        "unread": [short(value) for value in screen.unread],
        "columns": [[name, *map(short, numbers)] for name, *numbers in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with gold/ and transcripts/")
    parser.add_argument("--folds", action="store_true", help="cross-validate, and fit the regression anew")
    parser.add_argument("--out", type=Path, default=PACKAGE / "data" / "ranker.json")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    arguments = parser.parse_args()

    embedder = MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))
    episodes = read_graded(arguments.shared, embedder)
    folds = folds_of(len(episodes))
    tuner = Tuner(episodes)
    text = json.loads(arguments.out.read_text("utf-8"))
    if arguments.folds:
        read = read_unseen(episodes, folds, tuner)
        values = shipped(read, folds)
        print_figures(read, folds, values)
        grades = np.concatenate([e.grades for e in episodes])
        curve = calibrate(np.concatenate(values), (grades >= INSIGHT).astype(np.float64))
        print_calibration(np.concatenate(values), grades, curve)
        screen = Screen.of(read)
        pins = {name: text[name] for name in PINS}
        text = document(fit([screen(e) for e in read]), screen, curve, embedder.name, pins, len(episodes))
    else:
        # Each of the folds' encoders missed a part of the episodes; their mean has seen all.
        every = range(len(episodes))
        parts = [*(tuner.tuned(others(folds, fold)) for fold in sorted(set(folds))), tuner.tuned(every)]
        encoder, vocabulary = tuner.squeezed(parts, every)
        for pin, name, file in zip(PINS, (ENCODER, VOCABULARY), (encoder, vocabulary), strict=True):
            text[pin] = sha256_of(file)
            if not arguments.dry_run:
                arguments.out.with_name(name).write_bytes(file.read_bytes())
            print(f"{name}: {file.stat().st_size:,} bytes, sha256 {text[pin]}")
    if not arguments.dry_run:
        arguments.out.write_text(json.dumps(text, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
