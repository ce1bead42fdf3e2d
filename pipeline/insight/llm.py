"""The language model that the operator serves: opened by its address, told apart by what its server answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeline.clock import Clock, SystemClock
from pipeline.errors import AnswerError, TransientError, WaitingError
from pipeline.insight.llm_base import OUTCOMES, Label, LanguageModel, LlmCall, Message, ModelFacts, Record
from pipeline.insight.llm_fleet import fleet
from pipeline.insight.llm_native import SglangModel, model_info
from pipeline.insight.llm_openai import OpenAiModel
from pipeline.insight.llm_wire import Pause, Wire
from pipeline.settings import LlmSettings

__all__ = [
    "OUTCOMES",
    "Label",
    "LanguageModel",
    "LlmCall",
    "Message",
    "ModelFacts",
    "Record",
    "open_model",
]


@asynccontextmanager
async def open_model(
    settings: LlmSettings, *, record: Record | None = None, clock: Clock | None = None, pause: Pause = asyncio.sleep
) -> AsyncIterator[LanguageModel]:
    """Connect, look which server and model it is, and close at the end. For one event loop.

    `record` gets every call; `pause` is how retries wait. Raises ConfigError without `llm.url`, for a model that is not
    served or an address that is no such server; WaitingError while the server is away or starting.
    """
    async with _first_that_answers(settings, pause) as (wire, kind, facts):
        yield kind(wire, facts, record or _forget, clock or SystemClock())


@asynccontextmanager
async def _first_that_answers(
    settings: LlmSettings, pause: Pause
) -> AsyncIterator[tuple[Wire, type[SglangModel] | type[OpenAiModel], ModelFacts]]:
    """Of several servers the one whose turn it is, or the next one that is there.

    One that goes away meanwhile ends the run with a WaitingError, to come back at once where another is well.
    """
    if len(settings.urls) < 2:
        async with Wire(settings, pause) as wire:
            kind = SglangModel if await model_info(wire) is not None else OpenAiModel
            yield wire, kind, await kind.look(wire)
        return
    servers = fleet(settings.urls)
    order = servers.order()
    for left, url in zip(reversed(range(len(order))), order, strict=True):
        async with Wire(settings.model_copy(update={"url": url}), pause) as wire:
            try:
                kind = SglangModel if await model_info(wire) is not None else OpenAiModel
                facts = await kind.look(wire)
            except WaitingError:
                servers.away(url)
                if not left:
                    raise
                continue
            servers.answered(url)
            try:
                yield wire, kind, facts
            except WaitingError as e:
                if servers.away(url):
                    raise WaitingError(e.message, why=e.why, hint=e.hint, retry_after_s=SOON_S) from e
                raise
            except AnswerError:
                raise
            except TransientError:
                # It broke off, maybe because of this very prompt: counted as with one server, but asked elsewhere.
                servers.away(url)
                raise
            return


SOON_S = 2.0
"""After a server went away and another one is well."""


def _forget(call: LlmCall) -> None:
    """For a caller that keeps no calls."""
