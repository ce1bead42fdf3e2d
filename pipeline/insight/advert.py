"""Whether doubtful stretches of a transcript are promotion, by a served language model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from pipeline.errors import WaitingError
from pipeline.insight.llm_base import LanguageModel
from pipeline.insight.llm_book import Book
from pipeline.insight.prompts import prompt

Open = Callable[[], AbstractAsyncContextManager[LanguageModel]]
log = logging.getLogger(__name__)


class AdvertAsker:
    """Answers log p(Yes) - log p(No) for each text; 0 for all of them while the model is away.

    A transcript does not wait for a model: what stays in doubt is quoted only if it makes an insight and is proven.
    """

    def __init__(self, open_model: Open, book: Book | None = None):
        self._open, self._book = open_model, book

    def __call__(self, texts: Sequence[str]) -> list[float]:
        try:
            if self._book is not None:
                self._book.check()
            return asyncio.run(self._ask(texts))
        except WaitingError as e:
            log.info("nobody says whether %d stretches are promotion: %s", len(texts), e)
            return [0.0] * len(texts)
        finally:
            if self._book is not None:
                self._book.flush()

    async def _ask(self, texts: Sequence[str]) -> list[float]:
        ask = prompt("advert")
        async with self._open() as model:
            return await model.yes_no([ask.messages(text=text) for text in texts], ask.label)
