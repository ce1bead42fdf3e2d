"""The client against a server that is slow, full, away, starting, rude or something else altogether."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from pipeline.errors import AnswerError, ConfigError, RefusedError, TransientError, WaitingError
from pipeline.insight.llm import Label, LanguageModel, LlmCall, Message, open_model
from pipeline.insight.llm_answer import MAX_ITEMS, read_object, yes_minus_no
from pipeline.insight.llm_wire import ATTEMPTS, TIMED_OUT
from pipeline.settings import LlmSettings
from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang, Fault, recorded

ASK = Label("test", "test-1")
SCHEMA = {"type": "object"}
HI = [Message("user", "hi")]
T = TypeVar("T")


class Client:
    """Runs work against a server; keeps its calls and how long retries would have waited."""

    def __init__(self, server: FakeSglang, **settings: Any):
        self.settings = LlmSettings.model_validate({"url": server.url} | settings)
        self.calls: list[LlmCall] = []
        self.pauses: list[float] = []

    def __call__(self, work: Callable[[LanguageModel], Awaitable[T]]) -> T:
        async def go() -> T:
            async with open_model(self.settings, record=self.calls.append, pause=self._pause) as model:
                return await work(model)

        return asyncio.run(go())

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def asks(*prompts: str) -> Callable[[LanguageModel], Awaitable[list[float]]]:
    return lambda model: model.yes_no(prompts, ASK)


@pytest.mark.parametrize("sglang", [True, False])
def test_yes_and_no_by_logprob(sglang: bool) -> None:
    leanings = {"sky": 3.0, "grass": -2.0, "fog": 0.0}
    script = Says(leaning=lambda p: next(v for word, v in leanings.items() if word in p))
    with FakeSglang(script, sglang=sglang) as server:
        found = Client(server)(asks("Is the sky blue?", "Is grass red?", "Is it fog?"))
    assert found == pytest.approx([3.0, -2.0, 0.0], abs=0.01)


def test_a_grammar_less_server_is_not_sent_a_regex() -> None:
    with FakeSglang(Says(), sglang=False) as server:
        client = Client(server)
        client(asks("Is the sky blue?"))
        assert client(lambda m: m.check()).server == "openai"
        assert all("regex" not in body for body in server.counts.of("/v1/chat/completions"))


def test_what_prompts_share_is_prefilled_once() -> None:
    shared = Message("system", "Careful rules. " * 100)
    chats = [[shared, Message("user", f"Question {k}?")] for k in range(20)]
    with FakeSglang(Says(), latency_s=0.01) as server:
        client = Client(server, concurrency=8)
        client(lambda m: m.yes_no(chats, ASK))
        assert server.counts.cached_tokens >= 19 * 200
        server.counts.cached_tokens = 0
        fresh = [Message("system", "Other rules. " * 100)]
        client(lambda m: m.warm(fresh, ASK))
        client(lambda m: m.chat_json([*fresh, Message("user", "x")], SCHEMA, 50, ASK))
        assert server.counts.cached_tokens >= 200
    assert sum(c.cached_tokens or 0 for c in client.calls) >= 20 * 200
    assert {c.outcome for c in client.calls} == {"ok"}
    assert [c.purpose for c in client.calls].count("warm") == 1


@pytest.mark.parametrize("sglang", [True, False])
def test_the_server_is_kept_full_and_not_flooded(sglang: bool) -> None:
    prompts = [f"Question {k}?" for k in range(41)]
    with FakeSglang(Says(), sglang=sglang, latency_s=0.02) as server:
        Client(server, concurrency=8)(asks(*prompts))
        assert server.counts.most_running == 8


def test_an_empty_prompt_is_never_sent() -> None:
    with FakeSglang(Says()) as server:
        client = Client(server)
        for work in (asks("fine?", "  "), lambda m: m.chat_json([Message("user", "")], SCHEMA, 5, ASK)):
            with pytest.raises(RefusedError, match="empty prompt"):
                client(work)
        assert server.counts.requests == []


def test_a_prompt_that_is_too_long_is_refused_by_itself() -> None:
    with FakeSglang(Says(), context=200) as server:
        with pytest.raises(RefusedError, match="does not fit in 200"):
            Client(server)(asks("word " * 500))
        assert server.counts.of("/generate") == []
        with pytest.raises(RefusedError, match="maximum context length"):
            Client(server)(lambda m: m.chat_json([Message("user", "word " * 500)], SCHEMA, 50, ASK))


def test_full_then_free_is_retried_with_growing_pauses() -> None:
    full = Fault(503, b'{"message": "The request queue is full."}')
    with FakeSglang(Says('{"a": 1}')) as server:
        server.faults.extend([full, full, full])
        client = Client(server)
        assert client(lambda m: m.chat_json(HI, SCHEMA, 50, ASK)) == {"a": 1}
        assert [len(client.pauses), len(client.calls)] == [3, 1]
        assert client.pauses[2] > client.pauses[0] and sum(client.pauses) < 10
        client.pauses.clear()
        server.faults.append(Fault(429, b"", (("Retry-After", "7"),)))
        client(lambda m: m.chat_json(HI, SCHEMA, 50, ASK))
        assert client.pauses == [7.0]


def test_a_queue_that_stays_full_is_waited_for_by_the_job() -> None:
    with FakeSglang(Says()) as server:
        server.faults.extend([Fault(503, b'{"message": "The request queue is full."}')] * 20)
        client = Client(server)
        with pytest.raises(WaitingError, match="queue is full"):
            client(lambda m: m.chat_json(HI, SCHEMA, 50, ASK))
        assert len(client.pauses) == ATTEMPTS - 1
        assert [c.outcome for c in client.calls] == ["away"]


def test_hanging_up_is_retried_then_counts() -> None:
    with FakeSglang(Says('{"a": 1}')) as server:
        server.faults.append(Fault(0))
        client = Client(server)
        assert client(lambda m: m.chat_json(HI, SCHEMA, 50, ASK)) == {"a": 1}
        server.faults.extend([Fault(0)] * ATTEMPTS)
        # A prompt that ends the server each time must not wait for ever.
        with pytest.raises(TransientError, match="broke off") as broke:
            client(lambda m: m.chat_json(HI, SCHEMA, 50, ASK))
        assert not isinstance(broke.value, WaitingError)
        assert [c.outcome for c in client.calls] == ["ok", "failed"]


def test_no_answer_in_time() -> None:
    with FakeSglang(Says()) as server:
        server.faults.extend([Fault(-1)] * TIMED_OUT)
        began = time.monotonic()
        with pytest.raises(TransientError, match="too slow"):
            Client(server, timeout_s=0.2)(lambda m: m.chat_json(HI, SCHEMA, 50, ASK))
        assert time.monotonic() - began < 3
        while server.counts.aborted < TIMED_OUT:
            assert time.monotonic() - began < 5, "the server was not told"
            time.sleep(0.01)


def test_away_starting_and_back() -> None:
    server = FakeSglang(Says())
    with server:
        server.starting = True
        with pytest.raises(WaitingError, match="starting"):
            Client(server)(lambda m: m.check())
    client = Client(server)
    with pytest.raises(WaitingError, match="away") as away:
        client(lambda m: m.check())
    assert "llm.url" in (away.value.hint or "")
    server.starting = False
    with server:
        assert client(lambda m: m.check()).model == "smol-moe"


def test_the_key() -> None:
    with FakeSglang(Says()) as server:
        server.key = "sesame"
        with pytest.raises(ConfigError, match="key") as wrong:
            Client(server, api_key="wrong")(lambda m: m.check())
        assert "wrong" not in str(wrong.value)
        assert Client(server, api_key="sesame")(asks("Is it?"))[0] > 0


@pytest.mark.parametrize(
    "text", ["not json", '["a"]', '{"a": ' * 9 + "1" + "}" * 9, '{"a": NaN}', json.dumps({"a": "x" * 5000}), "[" * 9999]
)
def test_an_unusable_answer_is_asked_for_once_more(text: str) -> None:
    with FakeSglang(Says(text)) as server:
        client = Client(server)
        with pytest.raises(AnswerError):
            client(lambda m: m.chat_json(HI, SCHEMA, 9000 // 4, ASK))
        assert [body["temperature"] for body in server.counts.of("/v1/chat/completions")] == [0.0, 0.3]
        assert {c.outcome for c in client.calls} <= {"unreadable", "cut"}


def test_a_200_that_is_no_json_is_asked_for_once_more() -> None:
    with FakeSglang(Says('{"a": 1}')) as server:
        server.faults.append(Fault(200, b"<html>proxy</html>"))
        client = Client(server)
        assert client(lambda m: m.chat_json(HI, SCHEMA, 50, ASK)) == {"a": 1}
        assert [c.outcome for c in client.calls] == ["unreadable", "ok"]


def test_one_failure_frees_the_server_of_the_rest() -> None:
    with FakeSglang(Says(), sglang=False, latency_s=0.3, capacity=4) as server:
        client = Client(server, concurrency=8)

        async def work(model: LanguageModel) -> None:
            first = Fault(200, json.dumps(recorded("03_chat_logprobs")["response"]).encode())
            server.faults.extend([first, Fault(400, b'{"message": "no"}')])
            await model.yes_no([f"Question {k}?" for k in range(9)], ASK)

        with pytest.raises(RefusedError):
            client(work)
        assert sorted(c.outcome for c in client.calls) == ["cancelled"] * 7 + ["ok", "refused"]


def test_a_server_without_logprobs_is_named() -> None:
    answer = {"choices": [{"message": {"content": "Yes"}, "finish_reason": "stop"}]}
    with FakeSglang(Says(), sglang=False) as server:
        server.faults.append(Fault(200, json.dumps(answer).encode()))
        with pytest.raises(ConfigError, match="no logprobs"):
            Client(server)(asks("Is it?"))


def test_words_that_only_begin_like_no_are_not_no() -> None:
    top = [("Not", -0.1), ("Yes", -3.0), ("Nobody", -4.0)]
    assert yes_minus_no(top, constrained=False) == pytest.approx(1.0, abs=0.01)
    assert yes_minus_no([("The", -0.1)], constrained=False) is None
    assert yes_minus_no([("Yes", 0.0), ("No", -3.4e38)], constrained=True) == 20.0
    assert yes_minus_no([("Yes", float("nan")), ("No", -1.0)], constrained=True) == -20.0


def test_objects_are_bounded() -> None:
    assert read_object('{"a": [1, 2]}') == {"a": [1, 2]}
    with pytest.raises(AnswerError, match="more than"):
        read_object(json.dumps({"a": list(range(MAX_ITEMS + 1))}))
