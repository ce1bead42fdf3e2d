"""Documents are read in processes that end when one takes too much; the others go on, and nothing else comes back."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.errors import ExhaustedError, ParseError, PodsiftError
from pipeline.feed import pool as pool_module
from pipeline.feed.pool import ParserPool, _Child, _Unpickler
from pipeline.feed.pool_child import LENGTH
from pipeline.records import ParsedFeed

GOOD = (
    b'<rss version="2.0"><channel><title>Good</title><item><guid>a</guid>'
    b'<pubDate>Thu, 19 Nov 2026 08:00:00 GMT</pubDate><enclosure url="/a.mp3" type="audio/mpeg"/></item>'
    b"</channel></rss>"
)
SLOW = b"<rss version='2.0'><channel>" + b"<a " * 300_000
"""Takes feedparser's loose reader minutes."""


def run(test: Callable[[ParserPool], Awaitable[Any]], **limits: Any) -> Any:
    async def whole() -> Any:
        async with ParserPool(**limits) as pool:
            return await test(pool)

    before = {p.pid for p in psutil.Process().children(recursive=True)}
    found = asyncio.run(whole())
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before  # no process is left
    return found


def test_a_feed_comes_back_as_it_is_read_here() -> None:
    found = run(lambda pool: pool.parse(GOOD, "https://e.org/feed"))
    assert isinstance(found, ParsedFeed) and found.title == "Good"
    assert found.episodes[0].enclosure_url == "https://e.org/a.mp3" and found.episodes[0].published


def test_what_is_no_feed_is_refused_and_the_process_stays() -> None:
    ballast = bytearray(200_000_000)  # a parent with models in memory must not look like a parser that has grown
    ballast[::4096] = b"x" * len(ballast[::4096])

    async def test(pool: ParserPool) -> list[int]:
        pids = []
        for _ in range(3):
            with pytest.raises(ParseError, match="not a feed"):
                await pool.parse(b"<html>no</html>", "https://e.org/")
            pids += [c._process.pid for c in pool._all]
        return pids

    assert len(set(run(test, children=1))) == 1


def test_a_document_that_takes_too_long_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CPU_S_A_MB", 0.0)

    async def test(pool: ParserPool) -> list[Any]:
        return await asyncio.gather(
            pool.parse(SLOW, "https://e.org/1"),
            *(pool.parse(GOOD, "https://e.org/2") for _ in range(10)),
            return_exceptions=True,
        )

    slow, *others = run(test, cpu_s=1.0)
    # On a busy machine four seconds may pass before one of CPU has.
    assert isinstance(slow, ExhaustedError) and ("1 s of CPU" in str(slow) or "within 4 s" in str(slow))
    assert [o.title for o in others] == ["Good"] * 10


def test_a_document_that_takes_too_much_memory_costs_itself_only() -> None:
    large = b'<rss version="2.0"><channel><title>%s</title></channel></rss>' % (b"x" * 25_000_000)

    async def test(pool: ParserPool) -> list[Any]:
        first = await asyncio.gather(pool.parse(large, "https://e.org/1"), return_exceptions=True)
        return [*first, await pool.parse(GOOD, "https://e.org/2")]

    hungry, good = run(test, children=1, most_memory=120 << 20)
    assert isinstance(hungry, ExhaustedError) and "120 MB of memory" in str(hungry)
    assert good.title == "Good"


def test_a_process_that_is_killed_costs_its_document_only() -> None:
    async def test(pool: ParserPool) -> list[Any]:
        work = asyncio.ensure_future(pool.parse(SLOW, "https://e.org/1"))
        while not pool._all:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        for child in list(pool._all):
            os.kill(child._process.pid, 9)
        return [*await asyncio.gather(work, return_exceptions=True), await pool.parse(GOOD, "https://e.org/2")]

    killed, good = run(test)
    assert isinstance(killed, ExhaustedError) and "signal 9" in str(killed) and good.title == "Good"


def test_who_goes_away_leaves_no_answer_for_somebody_else() -> None:
    async def test(pool: ParserPool) -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.parse(SLOW, "https://e.org/1"), 0.5)
        return await pool.parse(GOOD, "https://e.org/2")

    assert run(test, children=1).title == "Good"


def test_large_documents_leave_a_process_to_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "LARGE", 1000)
    monkeypatch.setattr(pool_module, "CPU_S_A_MB", 0.0)

    async def test(pool: ParserPool) -> tuple[Any, list[bool]]:
        large = [asyncio.ensure_future(pool.parse(SLOW, f"https://e.org/{k}")) for k in range(2)]
        await asyncio.sleep(0.1)
        small = await pool.parse(GOOD, "https://e.org/2")
        over = [w.done() for w in large]
        await asyncio.gather(*large, return_exceptions=True)
        return small, over

    small, over = run(test, cpu_s=0.5)
    assert small.title == "Good" and not all(over)


def test_nothing_but_records_is_unpickled() -> None:
    for evil in (os.system, print, Path, pickle.loads, getattr, ParserPool):
        with pytest.raises(pickle.UnpicklingError, match="not among the records"):
            _Unpickler(io.BytesIO(pickle.dumps(evil))).load()


class _Said:
    """A process that hostile bytes have taken over."""

    def __init__(self, said: bytes):
        self.pid, self.stdin, self.stdout = 0, io.BytesIO(), io.BytesIO(said)

    def kill(self) -> None:
        pass

    def wait(self) -> int:
        return 0


def said(value: Any) -> bytes:
    pickled = pickle.dumps(value)
    return LENGTH.pack(len(pickled)) + pickled


@pytest.mark.parametrize(
    "answer",
    [
        LENGTH.pack(4) + b"evil",
        LENGTH.pack(1 << 60) + b"x",
        LENGTH.pack(100) + b"too short",
        b"",
        *map(said, [("feed", "no feed", [], False), ("odd", 1, [], False), 7, ("refused", 7, [], False)]),
    ],
)
def test_answers_that_make_no_sense_are_an_error_of_their_feed(answer: bytes) -> None:
    child = _Child.__new__(_Child)
    child._process, child._memory, child.alive = _Said(answer), 1 << 30, True  # type: ignore[assignment]
    with pytest.raises(ExhaustedError):
        child.parse(b"x", "https://e.org/", None, 1.0)


def test_a_parser_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither secrets of the environment, nor open files of the parent, nor a way to write any."""
    monkeypatch.setenv("PODSIFT_SECRET_KEY", "k1:" + "x" * 40)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y" * 40)

    async def test(pool: ParserPool) -> tuple[set[str], dict[str, Any]]:
        await pool.parse(GOOD, "https://e.org/")
        (child,) = pool._all
        process = psutil.Process(child._process.pid)
        names = {p.path for p in process.open_files()}
        limits = {n: process.rlimit(getattr(psutil, n)) for n in ("RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NOFILE")}
        return names | set(process.environ()), limits

    with (Path(__file__)).open() as _open:
        seen, limits = run(test, children=1)
    assert not {"PODSIFT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", __file__} & seen
    assert limits["RLIMIT_FSIZE"] == limits["RLIMIT_CORE"] == (0, 0) and limits["RLIMIT_NOFILE"][1] <= 64


def test_errors_are_ours() -> None:
    assert issubclass(ExhaustedError, ParseError) and issubclass(ParseError, PodsiftError)
