"""The models that finding insights needs, loaded once and when first asked for."""

from __future__ import annotations

import threading
from functools import cached_property

from pipeline import weights
from pipeline.insight.base import Writer
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.rank import Ranker
from pipeline.insight.selecting import SelectingWriter
from pipeline.resources import resource


class Toolbox:
    """Embedder, ranker and writer."""

    def __init__(self) -> None:
        self._loading = threading.RLock()

    @cached_property
    def embedder(self) -> MiniLmEmbedder:
        with self._loading:
            return MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))

    @cached_property
    def ranker(self) -> Ranker:
        with self._loading:
            return Ranker.load()

    @cached_property
    def selecting(self) -> Writer:
        return SelectingWriter(self.ranker, self.embedder)

    def writer(self) -> Writer:
        """The writer of new insights."""
        return self.selecting
