"""Several servers: work is spread, one that is away is passed over and asked again later, and nothing waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, TransientError, WaitingError
from pipeline.insight import llm_fleet
from pipeline.insight.llm import Label, open_model
from pipeline.insight.llm_fleet import FIRST_S, Fleet
from pipeline.settings import load
from tests.conftest import environ_of
from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang, Fault


async def at_once(_seconds: float) -> None:
    return None


def test_it_takes_turns_and_passes_over_who_was_away() -> None:
    now = [0.0]
    f = Fleet(("a", "b", "c"), lambda: now[0])
    assert [f.order()[0] for _ in range(4)] == ["a", "b", "c", "a"]
    assert f.away("b")
    assert f.order() == ["c", "a", "b"] and f.order() == ["c", "a", "b"]
    now[0] = FIRST_S
    assert f.order()[1] == "b"


def test_it_is_left_alone_longer_each_time() -> None:
    now = [0.0]
    f = Fleet(("a", "b"), lambda: now[0])
    waits = []
    for _ in range(9):
        f.away("a")
        begun = now[0]
        while f.order()[0] != "a" and f.order()[0] != "a":
            now[0] += 1
        waits.append(now[0] - begun)
    assert waits[:3] == [15, 30, 60] and waits[-1] == 600
    f.answered("a")
    f.away("a")
    now[0] += 15
    assert "a" in (f.order()[0], f.order()[0])


def test_with_all_away_the_one_that_comes_back_first_is_asked() -> None:
    f = Fleet(("a", "b"), lambda: 0.0)
    f.away("a")
    assert not f.away("b")
    f.away("a")
    assert f.order() == ["b", "a"]


def test_real_servers(tmp_path: Path) -> None:
    label = Label("test")
    with FakeSglang(Says()) as one, FakeSglang(Says()) as two:
        settings = load(environ=environ_of(tmp_path) | {"PODSIFT_LLM_URL": f"{one.url},{two.url}"}).llm

        async def ask() -> float:
            async with open_model(settings, pause=at_once) as model:
                return (await model.yes_no(["Is it so?"], label))[0]

        for _ in range(4):
            assert asyncio.run(ask()) > 0
        asked = len(one.counts.prompts), len(two.counts.prompts)
        assert asked == (2, 2)
        one.stop()
        for _ in range(4):
            assert asyncio.run(ask()) > 0  # nobody noticed
        assert len(two.counts.prompts) == 6
        two.stop()
        with pytest.raises(WaitingError):
            asyncio.run(ask())
        one.start()
        assert asyncio.run(ask()) > 0
        two.start()


def test_one_that_goes_away_meanwhile_is_no_long_wait(tmp_path: Path) -> None:
    with FakeSglang(Says()) as one, FakeSglang(Says()) as two:
        settings = load(environ=environ_of(tmp_path) | {"PODSIFT_LLM_URL": f"{one.url},{two.url}"}).llm

        async def lose() -> None:
            async with open_model(settings, pause=at_once) as model:
                one.stop()
                await model.yes_no(["Is it so?"], Label("test"))

        async def full() -> None:
            async with open_model(settings, pause=at_once) as model:
                two.faults.extend([Fault(503)] * 6)
                await model.yes_no(["Is it so?"], Label("test"))

        with pytest.raises(TransientError):
            asyncio.run(lose())
        assert llm_fleet.fleet(settings.urls).order()[0] == two.url
        one.start()
        llm_fleet.fleet(settings.urls).answered(one.url)
        while llm_fleet.fleet(settings.urls).order()[0] != one.url:
            pass  # so that the next one is the other's turn
        with pytest.raises(WaitingError) as e:
            asyncio.run(full())
        assert e.value.retry_after_s is not None and e.value.retry_after_s < 10


@pytest.mark.parametrize("url", ["http://a, ftp://b", "http://a,,http://b", "http://a?x,http://b"])
def test_each_address_is_checked(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wrong"):
        load(environ=environ_of(tmp_path) | {"PODSIFT_LLM_URL": url})


@pytest.fixture(autouse=True)
def forgotten() -> None:
    llm_fleet._fleets.clear()
