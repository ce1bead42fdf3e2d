"""A language model that answers later: its questions are collected for a file, its answers come from another.

A writer runs on it as on a served model. A run that meets a question without an answer ends, once every question that
can be asked by then was collected; the next run, with the answers, comes further. An open yes or no counts as yes
meanwhile, so that the questions which follow from it go into the same file.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from pipeline.clock import Clock
from pipeline.errors import PodsiftError, RefusedError
from pipeline.insight.batch import Answer, Question, question_id
from pipeline.insight.llm_answer import Reply, yes_minus_no
from pipeline.insight.llm_base import Label, LanguageModel, Message, ModelFacts, Record
from pipeline.insight.llm_openai import OpenAiModel, as_messages, decided, refuse_empty
from pipeline.insight.llm_wire import Wire

OPEN = 1.0
"""Stands for the answer that is not there yet to a question of yes or no."""
PLAIN = 4.0
"""log p(Yes) - log p(No) of a Yes, and its opposite of a No, of which an answer gives no logprobs."""


class PendingError(PodsiftError):
    """An answer is not there yet."""


class AnswerFile:
    """Stands where the connection stands: gives the answers that are there, keeps the questions that have none."""

    shown = "the batch"

    def __init__(self, episode_id: int, answers: Mapping[str, Answer], aim: str = ""):
        self._episode_id, self._answers, self._aim = episode_id, answers, aim
        self.asked_for: str | None = None
        self.missing: dict[str, Question] = {}

    @property
    def answered_by(self) -> str | None:
        """The model that most answers name."""
        named = Counter(str(a.body["model"]) for a in self._answers.values() if a.body.get("model"))
        return named.most_common(1)[0][0] if named else None

    async def post(self, path: str, body: Mapping[str, Any], *, prompts: int = 1) -> Any:  # noqa: ARG002 - as Wire's
        """The answer's body. Raises PendingError, RefusedError."""
        name = question_id(self._episode_id, body, self._aim)
        answer = self._answers.get(name)
        if answer is not None and answer.final:
            if answer.status != 200:
                raise RefusedError("The batch refused the question", why=str(answer.body["error"]["message"]))
            return answer.body
        self.missing.setdefault(name, Question(name, {**body, "model": self.asked_for}))
        await asyncio.sleep(0)  # lets the questions that are asked beside this one be collected too
        raise PendingError()


class BatchModel(OpenAiModel):
    """As OpenAiModel, over an AnswerFile."""

    async def check(self) -> ModelFacts:
        return self._facts

    async def warm(self, shared: Sequence[Message], label: Label) -> None:
        """There is nothing to warm."""

    async def yes_no(self, prompts: Sequence[str | Sequence[Message]], label: Label) -> list[float]:
        values: list[float | None] = []
        for chat in [as_messages(prompt) for prompt in prompts]:
            refuse_empty(chat)
            try:
                values.append(await self._yes_no(chat, label))
            except PendingError:
                values.append(OPEN)
        return decided(values, self.wire)

    def _lean(self, reply: Reply) -> float | None:
        if reply.top:
            return yes_minus_no(reply.top, constrained=False)
        word = reply.content.strip(" \n\"'.*").casefold()
        return PLAIN if word.startswith("yes") else -PLAIN if word.startswith("no") else None


@asynccontextmanager
async def open_file(file: AnswerFile, model: str, record: Record, clock: Clock) -> AsyncIterator[LanguageModel]:
    """`model` is the name that is asked for; the answers' own, where they give one, goes with what is made of them."""
    file.asked_for = model
    yield BatchModel(cast(Wire, file), ModelFacts(file.answered_by or model, "openai"), record, clock)
