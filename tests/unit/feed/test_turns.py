"""Whose turn it is: two of one host, none of a host that asked to be left alone, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import datetime, timedelta

from pipeline.feed.turns import Turns, host_of
from pipeline.records import FeedForUpdate
from tests.conftest import NOW


def feeds(*hosts: str) -> list[FeedForUpdate]:
    return [FeedForUpdate(k, f"https://{host}/{k}") for k, host in enumerate(hosts)]


def worked(
    wanted: list[FeedForUpdate], workers: int = 20, holds: dict[str, datetime] | None = None, holding: str | None = None
) -> tuple[list[int], list[int], Counter[str]]:
    """Ids that were fetched, ids that were held, and how many of each host were in the air at most."""
    turns, air, most = Turns(wanted, holds or {}), Counter[str](), Counter[str]()
    fetched: list[int] = []
    held: list[int] = []
    rng = random.Random(1)

    async def work() -> None:
        while (turn := await turns.take()) is not None:
            f, until = turn
            if until:
                held.append(f.id)
                continue
            host = host_of(f.url)
            air[host] += 1
            most[host] = max(most[host], air[host])
            await asyncio.sleep(rng.random() / 1000)
            if host == holding:
                turns.hold(host, NOW + timedelta(hours=1))
            air[host] -= 1
            fetched.append(f.id)
            turns.done(f)

    async def whole() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())

    asyncio.run(whole())
    return fetched, held, most


def test_two_of_one_host_at_a_time_and_everybody_in_the_end() -> None:
    wanted = feeds(*["a.example"] * 30, *["b.example"] * 3, *(f"h{k}.example" for k in range(50)))
    fetched, held, most = worked(wanted)
    assert sorted(fetched) == [f.id for f in wanted] and not held
    assert most["a.example"] == most["b.example"] == 2 and max(most.values()) == 2


def test_a_held_host_is_not_asked() -> None:
    wanted = feeds(*["a.example"] * 5, *["b.example"] * 5)
    fetched, held, _ = worked(wanted, holds={"a.example": NOW})
    assert sorted(held) == [0, 1, 2, 3, 4] and sorted(fetched) == [5, 6, 7, 8, 9]


def test_a_host_that_asks_for_quiet_in_the_middle_gets_it() -> None:
    wanted = feeds(*["a.example"] * 30, *["b.example"] * 5)
    fetched, held, _ = worked(wanted, holding="a.example")
    assert sorted(fetched + held) == [f.id for f in wanted]
    # Two were in the air when the first answer came.
    assert len([i for i in fetched if i < 30]) <= 3 and len(held) >= 27


def test_hosts_are_names_without_case_and_port() -> None:
    assert host_of("https://A.example:8443/x") == host_of("http://a.EXAMPLE/") == "a.example"
    assert host_of("http://[::1") == "http://[::1"
