"""The language model that the operator serves: opened by its address, told apart by what its server answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeline.clock import Clock, SystemClock
from pipeline.insight.llm_base import OUTCOMES, Label, LanguageModel, LlmCall, Message, ModelFacts, Record
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
    async with Wire(settings, pause) as wire:
        kind = SglangModel if await model_info(wire) is not None else OpenAiModel
        facts = await kind.look(wire)
        yield kind(wire, facts, record or _forget, clock or SystemClock())


def _forget(call: LlmCall) -> None:
    """For a caller that keeps no calls."""
