"""The models that finding insights needs, loaded once and when first asked for."""

from __future__ import annotations

import threading
from functools import cached_property

from pipeline.insight.selecting import SelectingWriter

from pipeline import weights
from pipeline.errors import ConfigError, WaitingError
from pipeline.insight.base import Writer
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.rank import Ranker
from pipeline.records import EpisodeContext, Findings, Passage, Transcript
from pipeline.resources import resource
from pipeline.settings import Settings


class Toolbox:
    """Embedder, ranker and the writers that the settings ask for."""

    def __init__(self, settings: Settings):
        self.settings = settings
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

    def candidates(self, transcript: Transcript) -> tuple[Passage, ...]:
        """Every passage of a transcript, scored by the ranker."""
        return self.selecting.find(transcript, EpisodeContext()).passages

    @cached_property
    def moe(self) -> Writer:
        if self.settings.llm.url is None:
            raise ConfigError(
                "The MoE writer needs a language model's server",
                why="llm.url is not set",
                hint="set PODSIFT_LLM_URL, for example http://127.0.0.1:30000/v1",
            )
        from pipeline.insight.write import MoeWriter

        return MoeWriter(self.settings.llm, self.candidates)

    def writer(self, name: str | None = None) -> Writer:
        """A writer by name; unnamed, the one the settings ask for."""
        if name == "moe" or (name is None and self.settings.llm.url is not None):
            return _StandIn(self.moe, self.selecting) if name is None and self.settings.llm.fallback else self.moe
        return self.selecting


class _StandIn:
    """The selecting writer while the server is away: only where the settings allow it, and the origin says so."""

    def __init__(self, first: Writer, second: Writer):
        self.first = first
        self.second = second
        self.origin = first.origin

    def find(self, transcript: Transcript, context: EpisodeContext) -> Findings:
        try:
            return self.first.find(transcript, context)
        except WaitingError:
            return self.second.find(transcript, context)
