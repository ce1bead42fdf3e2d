"""The models that finding insights needs, loaded once and when first asked for."""

from __future__ import annotations

import logging
import threading
from functools import cached_property
from pathlib import Path
from typing import cast

from pipeline import weights
from pipeline.clock import Clock, SystemClock
from pipeline.errors import ConfigError, WaitingError
from pipeline.insight.advert import AdvertAsker
from pipeline.insight.base import Writer
from pipeline.insight.compare import Comparer
from pipeline.insight.embed import MiniLmEmbedder
from pipeline.insight.judge import Judge, ModelJudge, StandInJudge, WordsJudge
from pipeline.insight.llm import open_model
from pipeline.insight.llm_book import Book
from pipeline.insight.rank import Ranker
from pipeline.insight.selecting import SelectingWriter
from pipeline.insight.tuned import tuned
from pipeline.insight.write import MoeWriter
from pipeline.records import EpisodeContext, Findings, Origin, Transcript
from pipeline.resources import resource
from pipeline.settings import LlmSettings
from pipeline.store.database import Database

log = logging.getLogger(__name__)


class Toolbox:
    """Embedder, ranker and writers. Without a database the calls to a served model are not kept."""

    def __init__(
        self,
        llm: LlmSettings | None = None,
        *,
        db: Database | None = None,
        clock: Clock | None = None,
        book: Book | None = None,
        tuned: Path | None = None,
    ) -> None:
        """`tuned` is where a ranker trained at home lies, if there is one."""
        self._tuned = tuned
        self._loading = threading.RLock()
        self._llm, self._db, self._clock, self._given = llm, db, clock or SystemClock(), book

    @cached_property
    def embedder(self) -> MiniLmEmbedder:
        with self._loading:
            return MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))

    @cached_property
    def ranker(self) -> Ranker:
        with self._loading:
            return cast(Ranker, tuned(Ranker.load(), self._tuned))

    @cached_property
    def selecting(self) -> Writer:
        return SelectingWriter(self.ranker, self.embedder)

    @property
    def moe(self) -> Writer:
        """A writer for one run of work. Raises ConfigError without `llm.url`."""
        if self._llm is None or self._llm.url is None:
            raise ConfigError(
                "No language model is set",
                why="the moe writer needs a served one",
                hint="set llm.url (PODSIFT_LLM_URL), or use the selecting writer",
            )
        return MoeWriter(self._llm, self.ranker, self.embedder, book=self._book(self._llm), clock=self._clock)

    def _book(self, llm: LlmSettings) -> Book | None:
        if self._given is not None or self._db is None:
            return self._given
        return Book(self._db, self._clock, llm.daily_tokens)

    @property
    def judge(self) -> Judge:
        """What tells how a new insight stands to earlier ones: the served model where one is set, else words alone."""
        llm = self._llm
        if llm is None or llm.url is None:
            return WordsJudge()
        book = self._book(llm)
        record = book.note if book is not None else None
        asked = ModelJudge(lambda: open_model(llm, record=record, clock=self._clock), book)
        return StandInJudge(asked, WordsJudge()) if llm.fallback else asked

    @property
    def adverts(self) -> AdvertAsker | None:
        """What says whether a stretch of a transcript is promotion; None without a served model."""
        llm = self._llm
        if llm is None or llm.url is None:
            return None
        book = self._book(llm)
        record = book.note if book is not None else None
        return AdvertAsker(lambda: open_model(llm, record=record, clock=self._clock), book)

    @property
    def comparer(self) -> Comparer | None:
        """What tells which of the day's best are better; None without a served model."""
        llm = self._llm
        if llm is None or llm.url is None:
            return None
        book = self._book(llm)
        record = book.note if book is not None else None
        return Comparer(lambda: open_model(llm, record=record, clock=self._clock), book)

    def writer(self) -> Writer:
        """The writer of new insights: a served model's where one is set, else the selecting one."""
        if self._llm is None or self._llm.url is None:
            return self.selecting
        return StandIn(self.moe, self.selecting) if self._llm.fallback else self.moe


class StandIn:
    """A writer for which another works while what it needs is away."""

    def __init__(self, first: Writer, other: Writer):
        self._first, self._other = first, other

    @property
    def origin(self) -> Origin:
        return self._first.origin

    def find(self, transcript: Transcript, context: EpisodeContext) -> Findings:
        """Raises what the other one raises, and what of the first is no WaitingError."""
        try:
            return self._first.find(transcript, context)
        except WaitingError as e:
            log.warning("the selecting writer stands in: %s", e)
            return self._other.find(transcript, context)
