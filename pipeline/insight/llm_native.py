"""A language model behind SGLang: lists of yes/no questions go to its native /generate, a list in one request.

/generate knows no chat, so /v1/tokenize renders and counts each prompt first: tried on SGLang 0.5.23, the logprobs are
those of a chat request. A server whose /v1/tokenize takes no messages is asked by chat, one request a question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pipeline.clock import Clock
from pipeline.errors import AnswerError, ConfigError, RefusedError
from pipeline.insight.llm_answer import read_generate, yes_minus_no
from pipeline.insight.llm_base import Label, Message, ModelFacts, Record
from pipeline.insight.llm_openai import OpenAiModel, as_messages, context_of, decided, plain, refuse_empty, served
from pipeline.insight.llm_wire import Wire, together

GRAMMAR_TOP = 8
"""Under (Yes|No) five tokens can come: Yes, No, Ye, Y, N."""
NO_THINKING: Mapping[str, Any] = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
"""Thinking would fill an answer before it begins. Templates that know neither name ignore both."""


class SglangModel(OpenAiModel):
    """As OpenAiModel, with what only SGLang has."""

    constrained = True
    extra: ClassVar[Mapping[str, Any]] = NO_THINKING

    def __init__(self, wire: Wire, facts: ModelFacts, record: Record, clock: Clock):
        super().__init__(wire, facts, record, clock)
        self._renders: bool | None = None
        self._at_once = max(1, wire.settings.concurrency // 4)
        """Prompts in one request: four lists under way keep the server full while one of them is read."""

    @classmethod
    async def look(cls, wire: Wire) -> ModelFacts:
        card = await served(wire)
        info = await model_info(wire)
        if info is None:
            raise ConfigError(f"{wire.shown} is no longer an SGLang server", hint="try again")
        if info.get("is_generation") is False:
            raise ConfigError(f"{card['id']} at {wire.shown} writes no text", hint="serve a generation model")
        await wire.get("/ready")  # 503 until the weights are warm, which is a WaitingError
        _, arguments = await wire.get("/server_info")
        arguments = arguments if isinstance(arguments, dict) else {}
        weights = _text(info.get("weight_version"))
        return ModelFacts(
            card["id"],
            "sglang",
            revision=_text(arguments.get("revision")) or (weights if weights != "default" else None),
            quantisation=_text(arguments.get("quantization")),
            context=context_of(card),
        )

    async def yes_no(self, prompts: Sequence[str | Sequence[Message]], label: Label) -> list[float]:
        chats = [as_messages(prompt) for prompt in prompts]
        for chat in chats:
            refuse_empty(chat)
        if not chats or not await self._can_render():
            return await super().yes_no(prompts, label)
        values = await self._ask(chats[:1], label)
        lists = [chats[i : i + self._at_once] for i in range(1, len(chats), self._at_once)]
        for found in await together([self._ask(some, label) for some in lists]):
            values += found
        return decided(values, self.wire)

    async def _ask(self, chats: Sequence[Sequence[Message]], label: Label) -> list[float | None]:
        rendered = await together([self._tokens(chat) for chat in chats])
        body = {
            "input_ids": list(rendered),
            "sampling_params": {"max_new_tokens": 1, "temperature": 0, "regex": "(Yes|No)"},
            "return_logprob": True,
            "top_logprobs_num": GRAMMAR_TOP,
            "return_text_in_logprobs": True,
        }
        async with self.recorded(label) as call:
            answer = await self.wire.post("/generate", body, prompts=len(rendered))
            tops, call.usage = read_generate(answer, len(rendered))
            return [yes_minus_no(top, constrained=True) for top in tops]

    async def _tokens(self, chat: Sequence[Message]) -> list[int]:
        """Token ids as the chat template makes them. Raises RefusedError when they do not fit: a prompt that is too
        long would fail the whole list."""
        body = {"model": self.facts.model, "messages": plain(chat), **self.extra}
        answer = await self.wire.post("/v1/tokenize", body, prompts=0)
        ids = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
            raise AnswerError("The server's answer is no list of tokens")
        if self.facts.context is not None and len(ids) >= self.facts.context:
            hint = "serve the model with a larger context"
            raise RefusedError(f"A prompt of {len(ids)} tokens does not fit in {self.facts.context}", hint=hint)
        return ids

    async def _can_render(self) -> bool:
        if self._renders is None:
            try:
                await self._tokens([Message("user", "Yes or no?")])
                self._renders = True
            except (RefusedError, ConfigError, AnswerError):
                self._renders = False
        return self._renders


async def model_info(wire: Wire) -> dict[str, Any] | None:
    """SGLang's own card of its model; None from any other server. Raises WaitingError while it starts."""
    for path in ("/model_info", "/get_model_info"):
        status, body = await wire.get(path)
        if status == 200 and isinstance(body, dict) and "model_path" in body and "is_generation" in body:
            return body
    return None


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value.strip() else None
