"""What a show says again and again: windows of an episode that its earlier episodes hold nearly word for word.

An idea that returns is told in other words; a jingle, a greeting or a recorded read is not. So a window counts as
repeated only where both its embedding and its words agree with one of another episode.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.insight.embed import DIMENSIONS, Vectors
from pipeline.records import Sentence

ALIKE = 0.5
"""Cosine from which on the words are compared: low, as every second vector is a mean of its neighbours."""
SHARED_WORDS = 0.6
"""Share of word pairs that two windows have in common."""
MIN_WORDS = 12
_HASHES = 96
RERUN_SHARE = 0.2
"""Two episodes that share more of their windows are one episode published twice; that marks nothing."""
_EDGE_S = 240.0
_MAGIC = b"w1"

Hashes = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Windows:
    """Unit vectors as int8 (n, 384), hashes of word pairs (n, 96) padded with 0, first and last sentence (n, 2)."""

    vectors: NDArray[np.int8]
    pairs: Hashes
    spans: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Earlier:
    """Another episode of the show."""

    episode_id: int
    windows: Windows


def windows(
    sentences: Sequence[Sentence], spans: Sequence[tuple[int, int]], vectors: Vectors, every: int = 1
) -> Windows:
    """Every so manyth window. Every second one is worth remembering, as they overlap; all are compared with those."""
    kept = [n for n in range(0, len(spans), every) if spans[n][1] < 65_536]
    pairs = np.zeros((len(kept), _HASHES), np.uint16)
    for row, n in enumerate(kept):
        text = " ".join(s.text for s in sentences[spans[n][0] : spans[n][1] + 1])
        found = sorted(_pairs(text))[:_HASHES]
        pairs[row, : len(found)] = found
    quantised = np.clip(np.round(vectors[kept] * 127 * 4), -127, 127).astype(np.int8)
    return Windows(quantised, pairs, np.array([spans[n] for n in kept], np.uint16).reshape(len(kept), 2))


def pack(w: Windows) -> bytes:
    """As stored: deflated, about 60 kB for an hour."""
    body = w.vectors.tobytes() + w.pairs.tobytes() + w.spans.tobytes()
    return _MAGIC + zlib.compress(len(w.vectors).to_bytes(4, "little") + body, 6)


def unpack(data: bytes) -> Windows | None:
    """What `pack` made; None for anything else, such as the form of an older version."""
    if not data.startswith(_MAGIC):
        return None
    try:
        raw = zlib.decompress(data[len(_MAGIC) :])
    except zlib.error:
        return None
    n = int.from_bytes(raw[:4], "little")
    sizes = (n * DIMENSIONS, n * _HASHES * 2, n * 4)
    if len(raw) != 4 + sum(sizes):
        return None
    a, b = 4 + sizes[0], 4 + sizes[0] + sizes[1]
    return Windows(
        np.frombuffer(raw[4:a], np.int8).reshape(n, DIMENSIONS),
        np.frombuffer(raw[a:b], np.uint16).reshape(n, _HASHES),
        np.frombuffer(raw[b:], np.uint16).reshape(n, 2),
    )


def earlier(rows: Sequence[tuple[int, bytes]]) -> list[Earlier]:
    """Episode ids and stored windows; what cannot be read is left out."""
    return [Earlier(i, w) for i, data in rows if (w := unpack(data)) is not None]


def repeated(
    sentences: Sequence[Sentence], mine: Windows, others: Sequence[Earlier], length_s: float
) -> list[tuple[int, int, str, str]]:
    """First and last sentence, mark and reason of each window that another episode holds too."""
    found = []
    unit = _unit(mine.vectors)
    for other in others:
        same = _same(mine, unit, other.windows)
        if len(same) > max(3, RERUN_SHARE * len(unit)):
            continue
        for n in same:
            first, last = int(mine.spans[n][0]), int(mine.spans[n][1])
            at_s, edge_s = sentences[first].start, min(_EDGE_S, length_s * 0.15)
            kind = "intro" if at_s <= edge_s else "outro" if at_s >= length_s - edge_s else "sponsor"
            found.append((first, last, kind, f"said in the same words in episode {other.episode_id}"))
    return found


def _same(mine: Windows, unit: NDArray[np.float32], other: Windows) -> list[int]:
    """Windows of `mine` that `other` holds too."""
    if not len(unit) or not len(other.vectors):
        return []
    near = np.argwhere(unit @ _unit(other.vectors).T >= ALIKE)
    return sorted({int(n) for n, m in near if _shared(mine.pairs[n], other.pairs[m]) >= SHARED_WORDS})


def _pairs(text: str) -> set[int]:
    words = re.findall(r"[^\W_]+", text.casefold())
    if len(words) < MIN_WORDS:
        return set()
    return {zlib.crc32(f"{a} {b}".encode()) % 65_535 + 1 for a, b in pairwise(words)}


def _shared(a: Hashes, b: Hashes) -> float:
    """Share of the smaller set that both have."""
    one, two = a[a > 0], b[b > 0]
    least = min(len(one), len(two))
    return len(np.intersect1d(one, two)) / least if least else 0.0


def _unit(vectors: NDArray[np.int8]) -> NDArray[np.float32]:
    floats = vectors.astype(np.float32)
    norms = np.linalg.norm(floats, axis=1, keepdims=True)
    return np.asarray(floats / np.maximum(norms, 1e-6), dtype=np.float32)
