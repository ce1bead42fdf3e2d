from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import weights
from pipeline.errors import ConfigError
from pipeline.insight.embed import DIMENSIONS, MiniLmEmbedder
from pipeline.resources import resource


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    return MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"), threads=1)


def test_unit_vectors_in_the_order_of_the_texts(embedder: MiniLmEmbedder) -> None:
    texts = ["A queue.", "word " * 900, "The age of the oldest job tells how late you are.", ""]
    found = embedder.embed(texts)
    assert found.shape == (4, DIMENSIONS)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert embedder.embed([]).shape == (0, DIMENSIONS)
    for text, vector in zip(texts, found, strict=True):
        # int8 activations are scaled a batch, so a text's vector moves a little with its company.
        assert float(embedder.embed([text])[0] @ vector) > 0.98


def test_meaning_is_near(embedder: MiniLmEmbedder) -> None:
    a, b, c = embedder.embed(
        ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose in May."]
    )
    assert float(a @ b) > float(a @ c) + 0.3


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "model.onnx"
    bad.write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        MiniLmEmbedder(bad, resource("minilm-vocab.txt"))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        MiniLmEmbedder(weights.minilm(), tmp_path / "missing.txt")
