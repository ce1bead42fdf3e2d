"""Every recorded exchange with SGLang 0.5.23 read as it should be, and requests of the recorded shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from pipeline.errors import AnswerError, ConfigError, RefusedError, WaitingError
from pipeline.insight.llm import Label, LanguageModel, LlmCall, Message, open_model
from pipeline.insight.llm_answer import read_chat, read_generate, yes_minus_no
from pipeline.insight.llm_wire import ATTEMPTS, Wire
from pipeline.settings import LlmSettings
from tests.fakes.scripts import Says
from tests.fakes.sglang import MODEL, RECORDINGS, FakeSglang, Fault, recorded

ALL = sorted(path.stem for path in RECORDINGS.glob("*.json"))
CHATS = [n for n in ALL if recorded(n)["path"] == "/v1/chat/completions" and isinstance(recorded(n)["response"], dict)]
LISTS = [n for n in ALL if isinstance(recorded(n)["response"], list)]
REFUSALS = [n for n in ALL if recorded(n)["status"] == 400]
FULL = [n for n in ALL if recorded(n)["status"] == 503]
ASK = Label("test", "test-1")
SCHEMA = recorded("02_json_schema")["request"]["response_format"]["json_schema"]["schema"]
T = TypeVar("T")


async def no_pause(_seconds: float) -> None:
    pass


def ask(
    server: FakeSglang,
    work: Callable[[LanguageModel], Awaitable[T]],
    calls: list[LlmCall] | None = None,
    **settings: Any,
) -> T:
    async def go() -> T:
        given = LlmSettings.model_validate({"url": server.url} | settings)
        async with open_model(given, record=(calls.append if calls is not None else None), pause=no_pause) as model:
            return await work(model)

    return asyncio.run(go())


def post(name: str) -> Any:
    """A recorded answer, replayed byte for byte to the same request."""
    recording = recorded(name)
    fault = Fault(recording["status"], json.dumps(recording["response"]).encode())

    async def go(server: FakeSglang) -> Any:
        async with Wire(LlmSettings.model_validate({"url": server.url}), no_pause) as wire:
            return await wire.post(recording["path"], recording["request"])

    with FakeSglang(Says()) as server:
        server.faults.extend([fault] * ATTEMPTS)
        try:
            return asyncio.run(go(server))
        finally:
            assert server.counts.requests[0] == (recording["path"], recording["request"])


def test_the_recordings_are_all_there() -> None:
    assert len(ALL) == 57
    assert (len(CHATS), len(LISTS), len(REFUSALS), len(FULL)) == (29, 4, 14, 4)


@pytest.mark.parametrize("name", [n for n in CHATS if recorded(n)["status"] == 200])
def test_a_recorded_chat_is_read_whole(name: str) -> None:
    answer = post(name)
    choice, usage = answer["choices"][0], answer["usage"]
    reply = read_chat(answer)
    assert reply.content == choice["message"]["content"]
    assert reply.finish == choice["finish_reason"]
    assert (reply.usage.prompt, reply.usage.completion) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert reply.usage.cached == usage["prompt_tokens_details"]["cached_tokens"]
    wanted = recorded(name)["request"].get("top_logprobs", 0)
    assert len(reply.top) == wanted


@pytest.mark.parametrize("name", LISTS)
def test_a_recorded_list_is_read_whole(name: str) -> None:
    answer = post(name)
    if not all("output_top_logprobs" in one["meta_info"] for one in answer):
        with pytest.raises(AnswerError, match="no logprobs"):
            read_generate(answer, len(answer))
        return
    tops, usage = read_generate(answer, len(answer))
    assert usage.prompt == sum(one["meta_info"]["prompt_tokens"] for one in answer)
    assert usage.cached == sum(one["meta_info"]["cached_tokens"] for one in answer)
    if recorded(name)["request"].get("return_text_in_logprobs"):
        assert sorted(token for token, _ in tops[0]) == ["1", "2", "3", "4", "5"]
    with pytest.raises(AnswerError, match="did not answer"):
        read_generate(answer, len(answer) + 1)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_recorded_refusal_is_one_and_says_why(name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        post(name)
    response = recorded(name)["response"]
    said = response.get("message") or response["error"]["message"]
    assert said.split()[0] in str(refused.value) and "400" in str(refused.value)
    assert len(str(refused.value)) < 500 and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", FULL)
def test_a_full_queue_is_waited_for(name: str) -> None:
    with pytest.raises(WaitingError, match="queue is full"):
        post(name)


def test_the_yes_no_of_the_recordings() -> None:
    free = read_chat(recorded("03_chat_logprobs")["response"]).top
    held = read_chat(recorded("03d_chat_regex_YN")["response"]).top
    # Free: Yes is listed below No. Held to the grammar, "Y" and "Ye" can only become Yes.
    assert yes_minus_no(free, constrained=False) == pytest.approx(-1.66, abs=0.02)
    assert yes_minus_no(held, constrained=True) == pytest.approx(-1.567, abs=0.01)


def test_json_and_a_truncated_one() -> None:
    with FakeSglang(Says(recorded("02_json_schema")["response"]["choices"][0]["message"]["content"])) as server:
        found = ask(server, lambda m: m.chat_json([Message("user", "x")], SCHEMA, 220, ASK))
        assert [item["start"] for item in found["items"]] == [12.5, 40.0]
    cut = Fault(200, json.dumps(recorded("02c_json_schema_truncated")["response"]).encode())
    calls: list[LlmCall] = []
    with FakeSglang(Says()) as server:
        server.faults.extend([cut, cut])
        with pytest.raises(AnswerError, match="cut off after 24 tokens"):
            ask(server, lambda m: m.chat_json([Message("user", "x")], SCHEMA, 12, ASK), calls)
        assert [body["max_tokens"] for body in server.counts.of("/v1/chat/completions")] == [12, 24]
    assert [(c.outcome, c.prompt_tokens, c.cached_tokens) for c in calls] == [("cut", 63, 62)] * 2


def test_requests_have_the_recorded_shape() -> None:
    with FakeSglang(Says('{"items": []}')) as server:

        async def work(model: LanguageModel) -> None:
            await model.chat_json([Message("system", "s"), Message("user", "x")], SCHEMA, 220, ASK)
            await model.yes_no(["Is it?", "Is it not?"], ASK)

        ask(server, work)
        (chat,) = server.counts.of("/v1/chat/completions")
        lists = server.counts.of("/generate")
    of_chat, of_list = recorded("02_json_schema")["request"], recorded("04b_generate_list_regex")["request"]
    assert set(of_chat) <= set(chat) <= {*of_chat, "seed", "chat_template_kwargs"}
    assert set(chat["response_format"]["json_schema"]) == set(of_chat["response_format"]["json_schema"])
    assert chat["model"] == MODEL and chat["response_format"]["json_schema"]["schema"] == SCHEMA
    for body in lists:
        assert set(body) - {"input_ids"} == set(of_list) - {"text", "rid"}
        assert set(body["sampling_params"]) == set(of_list["sampling_params"][0])


def test_facts_and_an_unknown_model() -> None:
    with FakeSglang(Says()) as server:
        facts = ask(server, lambda m: m.check())
        assert (facts.model, facts.server, facts.context) == (MODEL, "sglang", 8192)
        assert (facts.revision, facts.quantisation) == ("r1", "fp8")
        with pytest.raises(ConfigError, match="does not serve no-such-model"):
            ask(server, lambda m: m.check(), model="no-such-model")
