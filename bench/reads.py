"""Talk with written reads and near misses placed in it at places that a seed draws."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.records import Sentence
from pipeline.transcript import publisher
from pipeline.transcript.base import Segment
from pipeline.transcript.segment import sentences_from_segments

WORDS_PER_S = 2.6
"""As the times of the transcripts were estimated."""


@dataclass(frozen=True)
class Placed:
    """An episode with texts placed in it. A sentence's kind is `talk`, `read`, `near` or `skip` (real promotion)."""

    name: str
    sentences: tuple[Sentence, ...]
    kinds: tuple[str, ...]
    folds: tuple[int, ...]
    items: tuple[tuple[str, int, int, int], ...]
    """Kind, first and last sentence, fold of each placed text, in the order given."""
    fold: int
    names: tuple[str, ...] = ()


def files(shared: Path) -> list[Path]:
    return sorted(p for p in (shared / "transcripts").glob("*.json") if p.name != "index.json")


def training_files(shared: Path) -> list[Path]:
    """Every second transcript by name; the others are held out."""
    return files(shared)[::2]


def held_out_files(shared: Path) -> list[Path]:
    return files(shared)[1::2]


def ordinary(path: Path) -> tuple[Sentence, ...]:
    return sentences_from_segments(publisher.read(path.read_bytes(), type="application/json"))


def promotion(path: Path, shared: Path) -> set[int]:
    """Segments that the grades call promotion; empty for an episode without grades."""
    gold = shared / "gold" / path.name
    if not gold.is_file():
        return set()
    data = json.loads(gold.read_text("utf-8"))
    windows = {w for first, last in data["ads"] for w in range(first, last + 1)}
    return {n for w in windows for n in range(data["spans"][w][0], data["spans"][w][1] + 1)}


def place(
    talk: Sequence[tuple[Path, tuple[Sentence, ...]]],
    texts: Sequence[tuple[str, str]],
    draw: random.Random,
    skipped: Mapping[Path, set[int]],
    folds: int = 1,
) -> list[Placed]:
    """Each text once, in an episode and between two of its sentences, both drawn; the voice before it speaks it."""
    slots: dict[int, list[tuple[int, int]]] = {n: [] for n in range(len(talk))}
    for n in range(len(texts)):
        episode = draw.randrange(len(talk))
        slots[episode].append((draw.randrange(3, len(talk[episode][1]) - 3), n))
    return [
        _placed(path, sentences, sorted(slots[n]), texts, skipped.get(path, set()), n % folds, folds)
        for n, (path, sentences) in enumerate(talk)
    ]


def _placed(
    path: Path,
    sentences: Sequence[Sentence],
    slots: Sequence[tuple[int, int]],
    texts: Sequence[tuple[str, str]],
    skipped: set[int],
    fold: int,
    folds: int,
) -> Placed:
    made: list[Sentence] = []
    kinds: list[str] = []
    own: list[int] = []
    items: list[tuple[int, tuple[str, int, int, int]]] = []
    shift = 0.0
    waiting = list(slots)
    for n, sentence in enumerate(sentences):
        while waiting and waiting[0][0] == n:
            _, which = waiting.pop(0)
            kind, text = texts[which]
            first, length_s = len(made), len(text.split()) / WORDS_PER_S
            before = sentences[n - 1]
            start = before.end + shift + 0.1
            read = sentences_from_segments([Segment(start, start + length_s, text, before.speaker)])
            made += read
            kinds += [kind] * len(read)
            own += [which % folds] * len(read)
            items.append((which, (kind, first, len(made) - 1, which % folds)))
            shift += length_s + 0.2
        real = sentence.segments is not None and any(
            s in skipped for s in range(sentence.segments[0], sentence.segments[1] + 1)
        )
        made.append(replace(sentence, start=sentence.start + shift, end=sentence.end + shift))
        kinds.append("skip" if real else "talk")
        own.append(fold)
    numbered = tuple(replace(s, number=n, segments=None) for n, s in enumerate(made))
    return Placed(
        path.name, numbered, tuple(kinds), tuple(own), tuple(i for _, i in items), fold, tuple(str(w) for w, _ in items)
    )
