"""What a served language model is to the rest: a Protocol, and the records that go in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

OUTCOMES: Mapping[str, str] = {
    "ok": "answered as asked",
    "cut": "the answer was longer than its token limit",
    "unreadable": "the answer was not what was asked for",
    "refused": "the server refused the request (prompt too long, schema not understood)",
    "away": "the server was away, starting or full",
    "failed": "the server failed, took too long or broke off",
    "cancelled": "given up because another request of the same work failed",
}
"""What became of a call."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Label:
    """What a call is for, and the version of its prompt; kept with the call."""

    purpose: str
    prompt_version: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a server says of the model it serves. Unknown is None."""

    model: str
    server: Literal["sglang", "openai"]
    revision: str | None = None
    quantisation: str | None = None
    context: int | None = None
    """Tokens of prompt and answer together."""


@dataclass(frozen=True, slots=True)
class LlmCall:
    """One request to the server. `prompt_tokens` include the `cached_tokens`; a list of prompts is summed up."""

    model: str
    revision: str | None
    purpose: str
    prompt_version: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    seconds: float
    at: datetime
    outcome: str
    """A key of OUTCOMES."""


Record = Callable[[LlmCall], None]
"""Takes each call as it ends; must not block for long."""


class LanguageModel(Protocol):
    """A model behind a server, good for one event loop.

    Every operation raises WaitingError when the server is away, starting or full; RefusedError when it refuses the
    request; ConfigError when it cannot work as set up; AnswerError (a TransientError) when its answer is unusable.
    """

    @property
    def facts(self) -> ModelFacts: ...

    async def check(self) -> ModelFacts:
        """Ask the server again what it serves."""
        ...

    async def warm(self, shared: Sequence[Message], label: Label) -> None:
        """Have the server keep what several prompts begin with, before they are sent side by side."""
        ...

    async def chat_json(
        self, messages: Sequence[Message], schema: Mapping[str, Any], max_tokens: int, label: Label
    ) -> dict[str, Any]:
        """An object of the given JSON schema, bounded in size but otherwise as the model wrote it: validate it."""
        ...

    async def yes_no(self, prompts: Sequence[str | Sequence[Message]], label: Label) -> list[float]:
        """For each prompt logprob(Yes) - logprob(No) of the first token, within -20..20; 0.0 where it says neither.

        A string is one user message. The first prompt goes alone, so that the others find what they share with it.
        """
        ...
