"""A language model behind any OpenAI-compatible server: JSON by schema, and yes or no by the first token's logprobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from pipeline.clock import Clock
from pipeline.errors import AnswerError, ConfigError, PodsiftError, RefusedError, WaitingError
from pipeline.insight.llm_answer import Reply, Usage, chat_usage, read_chat, read_object, yes_minus_no
from pipeline.insight.llm_base import Label, LlmCall, Message, ModelFacts, Record
from pipeline.insight.llm_wire import Wire, together

TOP = 20
"""Alternatives asked for with a token: the most that the protocol allows."""
SEVERAL = 4
"""So many prompts without a Yes or a No say something of the model, fewer of the prompts."""
_AGAIN = 0.3
"""Temperature of the second try: at 0 it would give the first answer again."""
_OUTCOME: tuple[tuple[type[BaseException], str], ...] = (
    (AnswerError, "unreadable"),
    (WaitingError, "away"),
    (RefusedError, "refused"),
    (PodsiftError, "failed"),
    (asyncio.CancelledError, "cancelled"),
)


class _Call:
    """What becomes known of a request while it runs."""

    usage = Usage()
    outcome = "ok"


class OpenAiModel:
    """One served model. `facts` come from `look`; see LanguageModel for the rest."""

    constrained = False
    """Whether the first token can be held to Yes or No."""
    extra: ClassVar[Mapping[str, Any]] = {}
    """Further fields of a chat request."""

    def __init__(self, wire: Wire, facts: ModelFacts, record: Record, clock: Clock):
        self.wire = wire
        self._facts = facts
        self._record = record
        self._clock = clock

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    async def check(self) -> ModelFacts:
        self._facts = await self.look(self.wire)
        return self._facts

    @classmethod
    async def look(cls, wire: Wire) -> ModelFacts:
        """Which model the server serves; an unknown name is found out here, since SGLang answers to any."""
        card = await served(wire)
        return ModelFacts(card["id"], "openai", context=context_of(card))

    async def warm(self, shared: Sequence[Message], label: Label) -> None:
        async with self.recorded(Label("warm", label.prompt_version)) as call:
            call.usage = chat_usage(await self._chat([*shared, Message("user", ".")], max_tokens=1, temperature=0))

    async def chat_json(
        self, messages: Sequence[Message], schema: Mapping[str, Any], max_tokens: int, label: Label
    ) -> dict[str, Any]:
        response_format = {
            "type": "json_schema",
            "json_schema": {"name": label.purpose, "strict": True, "schema": schema},
        }
        tokens, failure = max_tokens, AnswerError()
        for temperature in (0.0, _AGAIN):
            async with self.recorded(label) as call:
                body = {"max_tokens": tokens, "temperature": temperature, "seed": 1, "response_format": response_format}
                try:
                    answer = await self._chat(messages, **body)
                    call.usage = chat_usage(answer)
                    reply = read_chat(answer)
                    if reply.finish == "length":
                        call.outcome = "cut"
                        raise AnswerError(f"The model's answer was cut off after {tokens} tokens")
                    return read_object(reply.content)
                except AnswerError as e:
                    call.outcome = "cut" if call.outcome == "cut" else "unreadable"
                    failure = e
                tokens = self._more(tokens, call)
        raise failure

    async def yes_no(self, prompts: Sequence[str | Sequence[Message]], label: Label) -> list[float]:
        chats = [as_messages(prompt) for prompt in prompts]
        for chat in chats:
            refuse_empty(chat)
        values = [await self._yes_no(chat, label) for chat in chats[:1]]
        values += await together([self._yes_no(chat, label) for chat in chats[1:]])
        return decided(values, self.wire)

    async def _yes_no(self, chat: Sequence[Message], label: Label) -> float | None:
        async with self.recorded(label) as call:
            asked = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": TOP}
            grammar = {"regex": "(Yes|No)"} if self.constrained else {}
            reply = read_chat(await self._chat(chat, **asked, **grammar))
            call.usage = reply.usage
            return self._lean(reply)

    def _lean(self, reply: Reply) -> float | None:
        if not reply.top:
            hint = "serve the model with SGLang, vLLM or llama.cpp"
            raise ConfigError(f"The server at {self.wire.shown} gives no logprobs", hint=hint)
        return yes_minus_no(reply.top, constrained=self.constrained)

    async def _chat(self, messages: Sequence[Message], **fields: Any) -> Any:
        refuse_empty(messages)
        body = {"model": self._facts.model, "messages": plain(messages), **fields, **self.extra}
        return await self.wire.post("/v1/chat/completions", body)

    @asynccontextmanager
    async def recorded(self, label: Label) -> AsyncIterator[_Call]:
        """Hands the request to the record when it ends, however it ends."""
        call, at, started = _Call(), self._clock.now(), time.perf_counter()
        try:
            yield call
        except BaseException as e:
            call.outcome = next((outcome for kind, outcome in _OUTCOME if isinstance(e, kind)), "failed")
            raise
        finally:
            seconds = time.perf_counter() - started
            used = call.usage
            self._record(
                LlmCall(
                    self._facts.model,
                    self._facts.revision,
                    label.purpose,
                    label.prompt_version,
                    used.prompt,
                    used.completion,
                    used.cached,
                    seconds,
                    at,
                    call.outcome,
                )
            )

    def _more(self, tokens: int, call: _Call) -> int:
        """Tokens for the second try: twice as many after a cut, as far as the context goes."""
        if call.outcome != "cut":
            return tokens
        if self._facts.context is None or call.usage.prompt is None:
            return tokens * 2
        return max(tokens, min(tokens * 2, self._facts.context - call.usage.prompt - 8))


async def served(wire: Wire) -> dict[str, Any]:
    """The card of the configured model, or of the only one. Raises ConfigError, WaitingError."""
    status, body = await wire.get("/v1/models")
    listed = body.get("data") if isinstance(body, dict) else None
    if status != 200 or not isinstance(listed, list):
        hint = "llm.url must name an OpenAI-compatible server, with or without /v1"
        raise ConfigError(f"{wire.shown} lists no models", why=f"/v1/models answered {status}", hint=hint)
    cards = {c["id"]: c for c in listed if isinstance(c, dict) and isinstance(c.get("id"), str)}
    wanted = wire.settings.model or (next(iter(cards)) if len(cards) == 1 else None)
    if wanted is None or wanted not in cards:
        message = f"{wire.shown} does not serve {wanted}" if wanted else f"{wire.shown} serves {len(cards)} models"
        names = ", ".join(name[:80] for name in list(cards)[:10])
        raise ConfigError(
            message, why=f"it serves {names}" if names else None, hint="set llm.model (PODSIFT_LLM_MODEL)"
        )
    card: dict[str, Any] = cards[wanted]
    return card


def context_of(card: Mapping[str, Any]) -> int | None:
    """`max_model_len` of SGLang and vLLM, `meta.n_ctx` of llama.cpp."""
    meta = card.get("meta")
    found = card.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return found if isinstance(found, int) and found > 0 else None


def as_messages(prompt: str | Sequence[Message]) -> list[Message]:
    """A prompt as a chat; a string is one user message."""
    return [Message("user", prompt)] if isinstance(prompt, str) else list(prompt)


def plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as the protocol writes them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def refuse_empty(messages: Sequence[Message]) -> None:
    """An empty prompt has killed a server, so none is sent. Raises RefusedError."""
    if not messages or not any(message.content.strip() for message in messages):
        raise RefusedError("An empty prompt is not sent to the language model")


def decided(values: Sequence[float | None], wire: Wire) -> list[float]:
    """0.0 for a prompt that got neither Yes nor No. Raises ConfigError when none of several got either."""
    if len(values) >= SEVERAL and all(value is None for value in values):
        raise ConfigError(
            f"The model at {wire.shown} answers neither Yes nor No with its first token",
            hint="serve an instruction-tuned model, with thinking switched off in its chat template",
        )
    return [0.0 if value is None else value for value in values]
