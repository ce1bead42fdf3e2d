"""The order that comparisons make: a fit that is right, a place that earns nothing, few questions."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from pipeline.insight.compare import Contender, compared, pairs, strengths
from pipeline.insight.llm import open_model
from pipeline.settings import LlmSettings
from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang


def chance(a: float, b: float) -> float:
    return 1 / (1 + math.exp(b - a))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 20, 50])
def test_few_pairs_that_connect_everyone(count: int) -> None:
    found = pairs(count)
    assert len(found) == len(set(found)) <= (count * math.log2(count) if count > 1 else 0)
    assert all(0 <= i < j < count for i, j in found)
    assert {(i, i + 1) for i in range(count - 1)} <= set(found)


def test_the_fit_finds_the_strengths_that_made_the_games() -> None:
    true = [1.5, 0.7, 0.0, -0.4, -1.8]
    wins = {(i, j): chance(true[i], true[j]) for i in range(5) for j in range(i + 1, 5)}
    # Each pair counted once against a prior of one game: strengths shrink, and keep their order and spacing.
    found = strengths(5, wins)
    assert sorted(found, reverse=True) == found and sum(found) == pytest.approx(0)
    ratios = [(found[k] - found[k + 1]) / (true[k] - true[k + 1]) for k in range(4)]
    assert min(ratios) > 0.5 and max(ratios) < 1


def test_the_fit_is_the_likeliest_one() -> None:
    rng = random.Random(7)
    wins = {(i, j): rng.random() for i in range(6) for j in range(i + 1, 6)}
    found = strengths(6, wins)

    def loss(values: list[float], shift: float) -> float:
        of = [v + shift for v in values]
        games = sum(
            w * math.log(chance(of[i], of[j])) + (1 - w) * math.log(chance(of[j], of[i])) for (i, j), w in wins.items()
        )
        return -games - sum(0.5 * math.log(chance(v, 0)) + 0.5 * math.log(chance(0, v)) for v in of)

    shift = min((k / 500 for k in range(-1000, 1000)), key=lambda s: loss(found, s))
    best = loss(found, shift)
    for k in range(6):
        for step in (-0.02, 0.02):
            moved = [v + (step if i == k else 0) for i, v in enumerate(found)]
            assert loss(moved, shift) > best


def test_who_wins_every_game_stays_finite_and_nobody_is_alone() -> None:
    found = strengths(4, dict.fromkeys(pairs(4), 1.0))
    assert all(math.isfinite(x) for x in found) and sorted(found, reverse=True) == found
    assert strengths(3, {}) == pytest.approx([0, 0, 0])
    assert strengths(1, {}) == [0.0] and strengths(0, {}) == []


def test_a_model_that_favours_the_first_place_decides_nothing() -> None:
    worth = {"gold": 3.0, "silver": 2.0, "bronze": 1.0, "tin": 0.0}

    def lean(prompt: str) -> float:
        first, second = prompt.split("<first>\n")[1].split("<second>\n")
        return 4.0 + worth[first.split()[0]] - worth[second.split()[0]]

    async def go(server: FakeSglang, names: list[str]) -> list[float]:
        async with open_model(LlmSettings.model_validate({"url": server.url})) as model:
            return await compared(model, [Contender(f"{n} claim", "It is so.") for n in names])

    names = ["tin", "gold", "bronze", "silver"]
    with FakeSglang(Says(leaning=lean)) as server:
        found = asyncio.run(go(server, names))
        asked = sum(len(body["input_ids"]) for body in server.counts.of("/generate"))
    assert sorted(names, key=lambda n: -found[names.index(n)]) == list(worth)
    assert asked == 2 * len(pairs(4))
