"""Reads what a language model's server answers: usage, content, logprobs. Pure; nothing in an answer is trusted.

The shapes are those that SGLang 0.5.23 was recorded to give (tests/fixtures/sglang).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.errors import AnswerError

MAX_DEPTH = 6
MAX_ITEMS = 64
"""Entries of one array or object."""
MAX_STRING = 4_000
LIMIT = 20.0
"""Logprob differences are cut to this: under a grammar a token that is not allowed has -3.4e38."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; None where the server does not say."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The one choice of a chat answer."""

    content: str
    finish: str
    top: tuple[tuple[str, float], ...]
    """Token and logprob of the alternatives for the first token; empty when none were asked for."""
    usage: Usage


def read_chat(answer: Any) -> Reply:
    """Read a chat completion. Raises AnswerError."""
    try:
        choice = answer["choices"][0]
        content, finish = choice["message"]["content"], choice["finish_reason"]
        listed = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
        top = tuple((str(entry["token"]), float(entry["logprob"])) for entry in listed)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as e:
        raise AnswerError("The server's answer is not a chat completion") from e
    return Reply(content if isinstance(content, str) else "", str(finish), top, chat_usage(answer))


def chat_usage(answer: Any) -> Usage:
    """The tokens of a chat completion, as far as it says."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached))


def read_generate(answer: Any, count: int) -> tuple[list[tuple[tuple[str, float], ...]], Usage]:
    """Of each prompt of a list the first token's alternatives, and the tokens of all. Raises AnswerError."""
    if not isinstance(answer, list) or len(answer) != count:
        raise AnswerError(f"The server did not answer each of {count} prompts")
    tops: list[tuple[tuple[str, float], ...]] = []
    metas: list[dict[str, Any]] = []
    try:
        for one in answer:
            meta = one["meta_info"]
            tops.append(tuple((str(e[2]), float(e[0])) for e in meta["output_top_logprobs"][0] if e[2] is not None))
            metas.append(meta)
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise AnswerError("The server's answer carries no logprobs") from e
    return tops, Usage(*(_total(metas, key) for key in ("prompt_tokens", "completion_tokens", "cached_tokens")))


def yes_minus_no(top: Iterable[tuple[str, float]], *, constrained: bool) -> float | None:
    """log p(Yes) - log p(No), cut to -20..20; None when neither is among the tokens.

    Under a grammar that allows only Yes and No the beginnings of the words count too: "Y" there can only become "Yes".
    Without one, "N" may become "Not", and a word that is not listed is at most as likely as the last one that is.
    """
    entries = [(token.strip().casefold(), logprob) for token, logprob in top if math.isfinite(logprob)]
    yes, no = (
        math.fsum(
            math.exp(min(0.0, logprob))
            for token, logprob in entries
            if token and (word.startswith(token) if constrained else token == word)
        )
        for word in ("yes", "no")
    )
    if not yes and not no:
        return None
    least = 0.0 if constrained else math.exp(min(0.0, min(logprob for _, logprob in entries)))
    yes, no = yes or least, no or least
    if not yes or not no:
        return LIMIT if yes else -LIMIT
    return max(-LIMIT, min(LIMIT, math.log(yes) - math.log(no)))


def read_object(content: str) -> dict[str, Any]:
    """A JSON object of bounded depth, breadth and strings. Raises AnswerError."""
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as e:
        raise AnswerError("The model's answer is not JSON") from e
    if not isinstance(value, dict):
        raise AnswerError("The model's answer is not a JSON object")
    _bounded(value, 0)
    return value


def _bounded(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise AnswerError(f"The model's answer is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str) and len(value) > MAX_STRING:
        raise AnswerError(f"The model's answer has a string of more than {MAX_STRING:,} characters")
    if isinstance(value, dict | list):
        if len(value) > MAX_ITEMS:
            raise AnswerError(f"The model's answer has a list of more than {MAX_ITEMS} entries")
        for inner in value.values() if isinstance(value, dict) else value:
            _bounded(inner, depth + 1)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _total(metas: Iterable[dict[str, Any]], key: str) -> int | None:
    counts = [_count(meta.get(key)) for meta in metas]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
