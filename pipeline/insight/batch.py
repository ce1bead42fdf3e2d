"""Questions to a language model in one file, its answers in another: the JSONL of OpenAI's batch API. Pure.

Offline engines (`vllm run-batch`) and batch services read and write it: a line a question, a line an answer, matched by
`custom_id`, in any order. Nothing in an answer is trusted; what is kept of it is bounded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ParseError

PATH = "/v1/chat/completions"
MOST_LINE = 2_000_000
"""Bytes of one line."""
MOST_CONTENT = 40_000
MOST_TOP = 20
REFUSALS = (400, 413, 422)
"""Statuses of a question that will never be answered; after any other failure it is asked again."""
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One request: `body` is that of a chat completion."""

    id: str
    body: Json


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is a chat completion when `status` is 200, else `{"error": {"message": ...}}`."""

    id: str
    status: int
    body: Json

    @property
    def final(self) -> bool:
        """Whether asking again is useless."""
        return self.status == 200 or self.status in REFUSALS


def question_id(episode_id: int, body: Json, aim: str = "") -> str:
    """At most 64 characters, the same for the same question about the same episode, whichever model answers it.

    `aim` tells questions of one kind of work from those of another.
    """
    asked = json.dumps({k: v for k, v in body.items() if k != "model"}, sort_keys=True, ensure_ascii=False)
    kind = str(body["response_format"]["json_schema"]["name"])[:12] if "response_format" in body else "yes-no"
    return f"podsift-{episode_id}{aim}-{kind}-{hashlib.sha256(asked.encode()).hexdigest()[:24]}"


def line(question: Question) -> str:
    """One line of a file of questions, with its end."""
    asked = {"custom_id": question.id, "method": "POST", "url": PATH, "body": question.body}
    return json.dumps(asked, ensure_ascii=False) + "\n"


def read_line(raw: bytes) -> Answer:
    """One line of a file of answers. Raises ParseError."""
    if len(raw) > MOST_LINE:
        raise ParseError(f"A line has more than {MOST_LINE:,} bytes")
    try:
        found = json.loads(raw)
        name, response = found["custom_id"], found["response"]
        if not isinstance(name, str) or len(name) > 200:
            raise TypeError
        if found.get("error") or not isinstance(response, dict):
            return Answer(name, _status(response, 500), _error(found.get("error")))
        status = _status(response, 200)
        if status != 200:
            return Answer(name, status, _error(response.get("body")))
        return Answer(name, 200, _completion(response["body"]))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise ParseError(
            "A line is no answer of a batch",
            hint='an answer is {"custom_id": ..., "response": {"status_code": 200, "body": {a chat completion}}}',
        ) from e


def _status(response: Any, otherwise: int) -> int:
    status = response.get("status_code") if isinstance(response, dict) else None
    return status if isinstance(status, int) and not isinstance(status, bool) else otherwise


def _error(said: Any) -> Json:
    message = said
    for key in ("error", "message"):
        if isinstance(message, dict):
            message = message.get(key, message)
    text = message if isinstance(message, str) else json.dumps(message, default=str) if message else "no answer"
    return {"error": {"message": " ".join(text.split())[:300]}}


def _completion(body: Json) -> Json:
    """What a chat completion is read for, and no more of it."""
    choice = body["choices"][0]
    content = choice["message"].get("content")
    if content is not None and not isinstance(content, str):
        raise TypeError
    logprobs = choice.get("logprobs")
    first = ((logprobs.get("content") if isinstance(logprobs, dict) else None) or [{}])[0]
    kept: dict[str, Any] = {
        # A longer answer than was asked for is cut, which leaves broken JSON, which is not used.
        "message": {"role": "assistant", "content": (content or "")[:MOST_CONTENT]},
        "finish_reason": str(choice.get("finish_reason") or "stop")[:20],
    }
    if first.get("top_logprobs"):
        top = [{"token": str(t["token"])[:40], "logprob": float(t["logprob"])} for t in first["top_logprobs"]]
        kept["logprobs"] = {"content": [{"top_logprobs": top[:MOST_TOP]}]}
    usage, model = body.get("usage"), body.get("model")
    return {
        "model": model[:200] if isinstance(model, str) and model.strip() else None,
        "choices": [kept],
        "usage": _usage(usage) if isinstance(usage, dict) else {},
    }


def _usage(usage: Json) -> Json:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    counts = {k: usage.get(k) for k in ("prompt_tokens", "completion_tokens")}
    known = {k: v for k, v in counts.items() if isinstance(v, int) and not isinstance(v, bool)}
    return known | ({"prompt_tokens_details": {"cached_tokens": cached}} if isinstance(cached, int) else {})
