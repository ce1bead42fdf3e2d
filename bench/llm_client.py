"""How much of a server's capacity the client uses: a stand-in for SGLang of fixed latency and capacity, on loopback.

python -m bench.llm_client [--latency 0.25] [--capacity 16] [--concurrency 32] [--prompts 640]

The server works on `capacity` prompts at a time, each for `latency` seconds; its queue takes the rest. The ratio is the
shortest time in which it could have answered, divided by the time the client took.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from pipeline.insight.llm import Label, LanguageModel, Message, open_model
from pipeline.insight.llm_wire import together
from pipeline.settings import LlmSettings
from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang

SHARED = Message("system", "Judge each statement by the sentences that it comes with, and answer in one word. " * 20)


def main() -> None:
    """Print one line a kind of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.25)
    parser.add_argument("--capacity", type=int, default=16)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=640)
    given = parser.parse_args()
    print(
        f"{given.prompts} prompts, {given.latency} s each, {given.capacity} at a time, client concurrency "
        f"{given.concurrency}"
    )
    for name, sglang in (("chat_json", True), ("yes_no, SGLang lists", True), ("yes_no, chat", False)):
        least, took, most = asyncio.run(_measure(name, sglang, given))
        print(f"{name:22} {took:6.2f} s of at least {least:.2f} s: ratio {least / took:.3f}; most at once {most}")


async def _measure(name: str, sglang: bool, given: argparse.Namespace) -> tuple[float, float, int]:
    with _server(sglang, given.latency, given.capacity) as (url, most_running):
        settings = LlmSettings.model_validate({"url": url, "concurrency": given.concurrency})
        async with open_model(settings) as model:
            await model.warm([SHARED], Label("bench"))
            if name == "chat_json":
                # One prompt is first and alone in yes_no, so that the others find its beginning in the cache.
                alone, took = 0, await _timed(_chats(model, given.prompts))
            else:
                alone, took = 1, await _timed(_questions(model, given.prompts))
        least = given.latency * (alone + math.ceil((given.prompts - alone) / given.capacity))
        return least, took, most_running()


@contextmanager
def _server(sglang: bool, latency_s: float, capacity: int) -> Iterator[tuple[str, Callable[[], int]]]:
    """A server in a process of its own, so that it costs the client no time: its address, and most prompts at once."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, sglang, latency_s, capacity))
    process.start()

    def most_running() -> int:
        here.send("counts")
        return int(here.recv())

    try:
        yield here.recv(), most_running
    finally:
        here.send("stop")
        process.join()


def _serve(pipe: Connection, sglang: bool, latency_s: float, capacity: int) -> None:
    with FakeSglang(Says('{"a": 1}'), sglang=sglang, latency_s=latency_s, capacity=capacity) as server:
        pipe.send(server.url)
        while pipe.recv() == "counts":
            pipe.send(server.counts.most_running)


async def _timed(work: Awaitable[None]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _chats(model: LanguageModel, count: int) -> None:
    label, schema = Label("bench"), {"type": "object"}
    await together(model.chat_json([SHARED, Message("user", f"Part {k}.")], schema, 50, label) for k in range(count))


async def _questions(model: LanguageModel, count: int) -> None:
    await model.yes_no([[SHARED, Message("user", f"Statement {k}. True?")] for k in range(count)], Label("bench"))


if __name__ == "__main__":
    main()
