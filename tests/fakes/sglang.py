"""A stand-in for SGLang on a free port of 127.0.0.1: the recorded shapes, scripted answers, one scheduler.

Answers are the recordings of SGLang 0.5.23 (tests/fixtures/sglang) with text, logprobs and counts put in. It keeps what
decides how a client has to behave: places that are full, a queue with an end, a cache of what prompts begin with that a
prompt finds only once an earlier one is through, requests that end when their client leaves.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

RECORDINGS = Path(__file__).resolve().parents[1] / "fixtures" / "sglang"
MODEL = "smol-moe"
GENERATING = ("/v1/chat/completions", "/generate")
_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}


@lru_cache(maxsize=128)
def recorded(name: str) -> dict[str, Any]:
    """One recording: method, path, request, status, response."""
    found: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))
    return found


class Script(Protocol):
    """What the model says. A prompt is the chat as one text, turns begun by `<|role|>`."""

    def write(self, prompt: str) -> str:
        """The text of a chat answer."""
        ...

    def lean(self, prompt: str) -> float:
        """log p(Yes) - log p(No)."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one generating request instead of its answer; a status of 0 hangs up, -1 never answers."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Counts:
    """What the server has seen; times of day are of no interest."""

    requests: list[tuple[str, Any]] = field(default_factory=list)
    """(path, body) of each request, in order of arrival."""
    prompts: list[str] = field(default_factory=list)
    """Each prompt that generated something, in order of its end."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    running: int = 0
    most_running: int = 0
    waiting: int = 0
    aborted: int = 0
    refused_full: int = 0

    def of(self, path: str) -> list[Any]:
        return [body for asked, body in self.requests if asked == path]


Reply = tuple[int, Any, tuple[tuple[str, str], ...]]


class FakeSglang:
    """Use as a context manager. `sglang=False` leaves only what any OpenAI-compatible server has."""

    def __init__(
        self,
        script: Script,
        *,
        sglang: bool = True,
        latency_s: float = 0.0,
        capacity: int = 64,
        queue: int = 10_000,
        context: int = 8192,
    ):
        self.script, self.sglang, self.context = script, sglang, context
        self.latency_s, self.capacity, self.queue = latency_s, capacity, queue
        self.starting = False
        self.key: str | None = None
        self.faults: deque[Fault] = deque()
        self.counts = Counts()
        self.port = 0
        self._words: list[str] = []
        self._numbers: dict[str, int] = {}
        self._cache: dict[int, Any] = {}
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._broken: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeSglang:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; on the port that it had, if it was stopped."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), name="fake-sglang")
        self._thread.start()
        assert ready.wait(10), "the fake server did not start"

    def stop(self) -> None:
        """Close the port and every connection; raises what a script raised."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
            self._thread = None
        if self._broken:
            raise self._broken[0]

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._places = asyncio.Semaphore(self.capacity)
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._ended.wait()
        # Connections that were just taken get their tasks first: closed in between, Python 3.11 forgets their sockets.
        await asyncio.sleep(0.02)
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        length = re.search(r"(?i)^content-length: (\d+)", head, re.MULTILINE)
        body = await reader.readexactly(int(length[1])) if length else b""
        key = re.search(r"(?im)^authorization: (.+?)\r$", head)
        work = asyncio.ensure_future(self._reply(method, path, body, key[1] if key else None))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not work.done():
                work.cancel()
                self.counts.aborted += 1
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)  # one reader at a time
        if not work.cancelled() and (error := work.exception()) is not None:
            self._broken.append(error)  # a script that fails fails its test
            return False
        if work.cancelled() or (reply := work.result()) is None:
            return False
        status, answer, headers = reply
        raw = answer if isinstance(answer, bytes) else b"" if answer == "" else json.dumps(answer).encode()
        lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(raw)}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
        await writer.drain()
        return True

    async def _reply(self, method: str, path: str, raw: bytes, key: str | None) -> Reply | None:
        if self.key is not None and key != f"Bearer {self.key}":
            return 401, {"error": "Unauthorized"}, ()
        if method == "GET":
            return *self._card(path), ()
        try:
            body = json.loads(raw)
        except ValueError:
            return *said("07d_malformed_json"), ()
        self.counts.requests.append((path, body))
        if path in GENERATING and self.faults:
            fault = self.faults.popleft()
            if fault.status < 0:
                await asyncio.Event().wait()
            return (fault.status, fault.body, fault.headers) if fault.status else None
        if path == "/v1/chat/completions":
            return *await self._chat(body), ()
        if self.sglang and path == "/generate":
            return *await self._generate(body), ()
        if self.sglang and path == "/v1/tokenize" and isinstance(body.get("messages"), list):
            ids = self._ids(flat(body["messages"]))
            return 200, {"tokens": ids, "count": len(ids), "max_model_len": self.context}, ()
        return *said("07d7_404"), ()

    def _card(self, path: str) -> tuple[int, Any]:
        if path in ("/ready", "/health"):
            return (503, "") if self.starting else (200, "")
        if path == "/v1/models":
            card = deepcopy(recorded("05_models")["response"])
            card["data"][0]["max_model_len"] = self.context
            return 200, card
        if self.sglang and path in ("/model_info", "/get_model_info"):
            return said("05_model_info")
        if self.sglang and path == "/server_info":
            return 200, {"model_path": MODEL, "revision": "r1", "quantization": "fp8", "version": "0.5.23"}
        return said("07d7_404")

    async def _chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        if not isinstance(body.get("messages"), list):
            return said("07d2_missing_messages")
        if not body["messages"]:
            return said("07d4_empty_messages")
        if not self.sglang and "regex" in body:
            return 400, {"error": {"message": "regex is not a field"}}
        schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
        if schema is not None and not compiles(schema):
            return said("07c_bad_schema_type")
        prompt = flat(body["messages"])
        ids, most = self._ids(prompt), int(body.get("max_tokens", 128))
        if len(ids) + most > self.context:
            return said("07b2_too_long_sum")
        cached = await self._run([ids])
        if cached is None:
            return said("07f_overload_chat_2")
        self.counts.prompts.append(prompt)
        answer = deepcopy(recorded("03d_chat_regex_YN" if body.get("logprobs") else "02_json_schema")["response"])
        choice, used = answer["choices"][0], most
        if body.get("logprobs"):
            top = yes_no_top(self.script.lean(prompt), constrained="regex" in body)
            entry = choice["logprobs"]["content"][0]
            entry["top_logprobs"] = [{"token": t, "bytes": list(t.encode()), "logprob": p} for t, p in top]
            entry["token"], entry["logprob"] = top[0]
            choice["message"]["content"] = top[0][0]
        elif body.get("max_tokens") == 1:
            choice["message"]["content"], choice["finish_reason"] = "I", "length"
        else:
            text = self.script.write(prompt)
            used = min(most, math.ceil(len(text) / 4))
            choice["message"]["content"] = text[: 4 * most]
            choice["finish_reason"] = "length" if len(text) > 4 * most else "stop"
        answer["usage"].update(prompt_tokens=len(ids), completion_tokens=used, total_tokens=len(ids) + used)
        answer["usage"]["prompt_tokens_details"] = {"cached_tokens": cached[0]}
        return 200, answer

    async def _generate(self, body: dict[str, Any]) -> tuple[int, Any]:
        lists = body.get("input_ids")
        if not lists or not all(lists) or any(len(ids) >= self.context for ids in lists):
            return 400, {"error": {"message": "The input (9031 tokens) is longer than the model's context length"}}
        cached = await self._run(lists)
        if cached is None:
            return said("07f_overload_gen_9")
        answers = []
        for ids, found in zip(lists, cached, strict=True):
            prompt = "".join(self._words[i] for i in ids)
            self.counts.prompts.append(prompt)
            one = deepcopy(recorded("04b_generate_list_regex")["response"][0])
            top = yes_no_top(self.script.lean(prompt), constrained=True)
            one["text"] = top[0][0]
            rows = [[p, 10_000 + i, t] for i, (t, p) in enumerate(top)]
            one["meta_info"].update(prompt_tokens=len(ids), completion_tokens=1, cached_tokens=found)
            one["meta_info"].update(output_top_logprobs=[rows], output_token_logprobs=[rows[0]])
            answers.append(one)
        return 200, answers

    async def _run(self, lists: Sequence[list[int]]) -> list[int] | None:
        """Wait for places, take the time, fill the cache; tokens of each prompt found there, None when full."""
        counts = self.counts
        if counts.running >= self.capacity and counts.waiting + len(lists) > self.queue:
            counts.refused_full += 1
            return None

        async def one(ids: list[int]) -> int:
            counts.waiting += 1
            try:
                await self._places.acquire()
            finally:
                counts.waiting -= 1
            counts.running += 1
            counts.most_running = max(counts.most_running, counts.running)
            try:
                found = min(self._cached(ids), len(ids) - 1)
                await asyncio.sleep(self.latency_s)
            finally:
                counts.running -= 1
                self._places.release()
            self._keep(ids)
            counts.prompt_tokens += len(ids)
            counts.cached_tokens += found
            return found

        return list(await asyncio.gather(*(one(ids) for ids in lists)))

    def _cached(self, ids: Sequence[int]) -> int:
        node, found = self._cache, 0
        for i in ids:
            if i not in node:
                break
            node, found = node[i], found + 1
        return found

    def _keep(self, ids: Sequence[int]) -> None:
        node = self._cache
        for i in ids:
            node = node.setdefault(i, {})

    def _ids(self, text: str) -> list[int]:
        ids = []
        for word in re.findall(r"\s*\S+|\s+$", text):
            if word not in self._numbers:
                self._numbers[word] = len(self._words)
                self._words.append(word)
            ids.append(self._numbers[word])
        return ids


def said(name: str) -> tuple[int, Any]:
    """Status and body of a recording."""
    found = recorded(name)
    return found["status"], found["response"]


def flat(messages: Sequence[dict[str, str]]) -> str:
    """A chat as one text."""
    return "".join(f"<|{m['role']}|>\n{m['content']}\n" for m in messages)


def compiles(schema: Any) -> bool:
    """Whether a grammar could be made: every type is one that JSON has."""
    if isinstance(schema, dict):
        kind = schema.get("type")
        return (not isinstance(kind, str) or kind in _TYPES) and all(compiles(inner) for inner in schema.values())
    return all(compiles(inner) for inner in schema) if isinstance(schema, list) else True


def yes_no_top(lean: float, *, constrained: bool) -> list[tuple[str, float]]:
    """The first token's alternatives, likeliest first; under a grammar with fragments, as recorded."""
    yes = -math.log1p(math.exp(-lean))
    no = -math.log1p(math.exp(lean))
    if constrained:
        top = [("Yes", yes + math.log(0.97)), ("Y", yes + math.log(0.02)), ("Ye", yes + math.log(0.01))]
        top += [("No", no + math.log(0.98)), ("N", no + math.log(0.02))]
        return sorted(top, key=lambda e: -e[1])
    spread = [("Yes", yes + math.log(0.9)), ("No", no + math.log(0.9)), ("The", math.log(0.1))]
    return sorted(spread, key=lambda e: -e[1])
