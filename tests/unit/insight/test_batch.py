"""The batch's lines, and a model whose answers come later."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pipeline.clock import FixedClock
from pipeline.errors import AnswerError, ParseError, RefusedError
from pipeline.insight.batch import MOST_LINE, Answer, Question, line, question_id, read_line
from pipeline.insight.batch_model import OPEN, PLAIN, AnswerFile, PendingError, open_file
from pipeline.insight.llm_base import Label, LanguageModel, LlmCall, Message
from pipeline.insight.llm_wire import together
from tests.conftest import NOW

ASK = [Message("system", "Answer."), Message("user", "Is it so?")]
SCHEMA = {"type": "object"}
LABEL = Label("extract", "extract-1")


def completion(content: str, *, finish: str = "stop", top: dict[str, float] | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    if top is not None:
        tokens = [{"token": t, "logprob": p, "bytes": None} for t, p in top.items()]
        choice["logprobs"] = {"content": [{"token": "x", "logprob": -0.1, "top_logprobs": tokens}]}
    usage = {"prompt_tokens": 90, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}}
    return {"object": "chat.completion", "model": "strong-1", "choices": [choice], "usage": usage}


def answered(name: str, body: Any, status: int = 200) -> bytes:
    line = {"id": "b", "custom_id": name, "response": {"status_code": status, "request_id": "r", "body": body}}
    return json.dumps(line | {"error": None}).encode()


class Asked:
    """A model over answers, and what it was asked and recorded."""

    def __init__(self, answers: dict[str, Answer] | None = None):
        self.file = AnswerFile(7, answers or {})
        self.calls: list[LlmCall] = []

    def run(self, use: Any) -> Any:
        async def inner() -> Any:
            async with open_file(self.file, "any", self.calls.append, FixedClock(NOW)) as model:
                return await use(model)

        return asyncio.run(inner())


def test_a_question_is_a_line_of_the_format_and_its_id_does_not_depend_on_the_model() -> None:
    body = {"model": "a", "messages": [{"role": "user", "content": "Wie heißt „es“?"}], "max_tokens": 1}
    one, other = question_id(3, body), question_id(3, body | {"model": "b"})
    assert one == other != question_id(4, body) and len(one) <= 64 and one.startswith("podsift-3-yes-no-")
    assert one != question_id(3, body | {"max_tokens": 2})
    written = line(Question(one, body))
    assert written.endswith("\n") and written.count("\n") == 1
    assert json.loads(written) == {
        "custom_id": one,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }


def test_an_answer_keeps_what_is_used_and_no_more() -> None:
    body = completion("Yes", top={"Yes": -0.1, "No": -2.5}) | {"system_fingerprint": "x" * 5000}
    found = read_line(answered("a", body))
    assert (found.id, found.status, found.final) == ("a", 200, True)
    assert found.body["model"] == "strong-1" and "system_fingerprint" not in found.body
    assert found.body["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1] == {"token": "No", "logprob": -2.5}
    assert len(json.dumps(read_line(answered("a", completion("x" * 500_000))).body)) < 50_000


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not JSON",
        b"[]",
        b"{}",
        b'{"custom_id": 5, "response": {"status_code": 200, "body": {}}}',
        answered("a", {}),
        answered("a", {"choices": []}),
        answered("a", {"choices": [{"message": {"content": ["a"]}}]}),
        answered("a", {"choices": [{"message": {"content": "Yes"}, "logprobs": {"content": [{"top_logprobs": [5]}]}}]}),
        b"[" * 100_000,
        b"9" * (MOST_LINE + 1),
        b'{"custom_id": "' + b"\xff" * 8 + b'"}',
    ],
    ids=range(12),
)
def test_a_line_that_is_no_answer_is_told_so(raw: bytes) -> None:
    with pytest.raises(ParseError):
        read_line(raw)


def test_a_failure_is_told_from_a_refusal() -> None:
    failed = read_line(json.dumps({"custom_id": "a", "response": None, "error": {"message": "expired"}}).encode())
    assert not failed.final and failed.body == {"error": {"message": "expired"}}
    busy = read_line(answered("a", {"error": {"message": "overloaded\nnow"}}, 503))
    assert not busy.final and busy.body["error"]["message"] == "overloaded now"
    assert read_line(answered("a", {"message": "too long", "object": "error"}, 400)).final


def test_questions_side_by_side_are_all_collected_and_then_answered() -> None:
    first = Asked()

    async def three(model: LanguageModel) -> list[Any]:
        return await together(model.chat_json([*ASK, Message("user", str(k))], SCHEMA, 50, LABEL) for k in range(3))

    with pytest.raises(PendingError):
        first.run(three)
    assert len(first.file.missing) == 3
    assert all(q.body["model"] == "any" for q in first.file.missing.values())
    answers = {n: Answer(n, 200, completion(f'{{"n": {k}}}')) for k, n in enumerate(first.file.missing)}
    second = Asked(answers)
    assert second.run(three) == [{"n": 0}, {"n": 1}, {"n": 2}] and not second.file.missing
    assert [(c.model, c.purpose, c.prompt_tokens, c.cached_tokens, c.outcome) for c in second.calls] == [
        ("strong-1", "extract", 90, 64, "ok")
    ] * 3


def test_an_answer_that_was_cut_is_asked_for_once_more_with_more_room() -> None:
    async def one(model: LanguageModel) -> Any:
        return await model.chat_json(ASK, SCHEMA, 50, LABEL)

    asked = Asked()
    with pytest.raises(PendingError):
        asked.run(one)
    (name,) = asked.file.missing
    answers = {name: Answer(name, 200, completion('{"a": [', finish="length"))}
    again = Asked(answers)
    with pytest.raises(PendingError):
        again.run(one)
    (question,) = again.file.missing.values()
    assert question.id != name and question.body["max_tokens"] == 100
    last = Asked(answers | {question.id: Answer(question.id, 200, completion("still no JSON"))})
    with pytest.raises(AnswerError):
        last.run(one)
    refused = Asked({name: Answer(name, 400, {"error": {"message": "too long"}})})
    with pytest.raises(RefusedError, match="too long"):
        refused.run(one)


def test_yes_and_no_come_from_logprobs_or_from_the_word_and_open_ones_count_as_yes() -> None:
    prompts = [[Message("user", f"{k}?")] for k in range(5)]

    async def ask(model: LanguageModel) -> list[float]:
        return await model.yes_no(prompts, LABEL)

    asked = Asked()
    assert asked.run(ask) == [OPEN] * 5 and len(asked.file.missing) == 5
    assert all(q.body["max_tokens"] == 1 and q.body["logprobs"] for q in asked.file.missing.values())
    bodies = [
        completion("Yes", top={"Yes": -0.1, "No": -3.1}),
        completion("No."),
        completion(" **Yes**"),
        completion("Maybe"),
    ]
    answers = {n: Answer(n, 200, b) for n, b in zip(asked.file.missing, bodies, strict=False)}
    then = Asked(answers)
    assert then.run(ask) == [pytest.approx(3.0), -PLAIN, PLAIN, 0.0, OPEN]
    assert len(then.file.missing) == 1
