"""The order that comparisons make: a fit that is right, a place that earns nothing, few questions."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from pipeline.insight.compare import Comparer, Contender, chances, games_of, opponents, settled, strengths
from pipeline.insight.llm import open_model
from pipeline.settings import LlmSettings
from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang


def chance(a: float, b: float) -> float:
    return 1 / (1 + math.exp(b - a))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 20, 50])
def test_few_pairs_each_once(count: int) -> None:
    order = list(range(100, 100 + count))
    found = opponents(order, set(order))
    most = count * math.log2(count) if count > 1 else 0
    assert len({frozenset(p) for p in found}) == len(found) <= most
    assert all(a != b and {a, b} <= set(order) for a, b in found)
    if count > 1:
        assert {i for p in found for i in p} == set(order)


def test_a_new_one_meets_its_nearest_and_nobody_twice() -> None:
    order = list("abcdefgh")
    at = order.index("d")
    numbers = list(range(8))
    assert opponents(numbers, {at}) == [(3, 2), (3, 4), (3, 1)]
    assert opponents(numbers, {at}, [(2, 3), (3, 4)]) == [(3, 1), (3, 5), (3, 0)]
    assert opponents(numbers, set()) == [] and opponents([7], {7}) == []


def test_insights_that_come_one_by_one_cost_no_more_than_n_log_n() -> None:
    order: list[int] = []
    met: list[tuple[int, int]] = []
    rng = random.Random(3)
    for new in range(64):
        order.insert(rng.randint(0, len(order)), new)
        met += opponents(order, {new}, met)
    assert len({frozenset(p) for p in met}) == len(met) <= 64 * math.log2(64)


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
    found = strengths(4, {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0, (0, 2): 1.0})
    assert all(math.isfinite(x) for x in found) and sorted(found, reverse=True) == found
    assert strengths(3, {}) == pytest.approx([0, 0, 0])
    assert strengths(1, {}) == [0.0] and strengths(0, {}) == []


def test_scores_order_what_was_not_compared_and_give_way_to_what_was() -> None:
    scores = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.99}
    assert settled(scores, {}) == scores
    # Even games leave everything as it is; 5 has played nobody and keeps its own.
    assert settled(scores, {(1, 2): 0.5, (2, 3): 0.5, (3, 4): 0.5}) == scores
    turned = settled(scores, {(1, 2): 0.05, (1, 3): 0.1, (2, 3): 0.6, (3, 4): 0.9})
    assert turned == {2: 0.9, 3: 0.8, 4: 0.7, 1: 0.6, 5: 0.99} and sorted(turned.values()) == sorted(scores.values())
    assert settled(scores, {(1, 99): 0.0}) == scores  # the other is no candidate any more
    assert settled({1: 0.0, 2: 1.0}, {(1, 2): 0.9}) == {1: 1.0, 2: 0.0}
    assert games_of({(1, 2): 0.75, (3, 1): 0.5}) == {1: (1.25, 2), 2: (0.25, 1), 3: (0.5, 1)}


def test_a_model_that_favours_the_first_place_decides_nothing() -> None:
    worth = {"gold": 3.0, "silver": 2.0, "bronze": 1.0, "tin": 0.0}

    def lean(prompt: str) -> float:
        first, second = prompt.split("<first>\n")[1].split("<second>\n")
        return 4.0 + worth[first.split()[0]] - worth[second.split()[0]]

    names = ["tin", "gold", "bronze", "silver"]
    said = [Contender(f"{n} claim", "It is so.") for n in names]
    pairs = opponents(range(4), set(range(4)))

    async def go(server: FakeSglang) -> list[float]:
        async with open_model(LlmSettings.model_validate({"url": server.url})) as model:
            return await chances(model, [(said[i], said[j]) for i, j in pairs])

    with FakeSglang(Says(leaning=lean)) as server:
        found = strengths(4, dict(zip(pairs, asyncio.run(go(server)), strict=True)))
        asked = sum(len(body["input_ids"]) for body in server.counts.of("/generate"))
    assert sorted(names, key=lambda n: -found[names.index(n)]) == list(worth)
    assert asked == 2 * len(pairs) <= 2 * 4 * math.log2(4)


def test_without_the_model_the_scores_stand() -> None:
    pair = (Contender("A", "It is so."), Contender("B", "It is not so."))
    with FakeSglang(Says(leaning=2.0)) as server:
        settings = LlmSettings.model_validate({"url": server.url})
        asker = Comparer(lambda: open_model(settings, pause=_at_once))
        assert asker.compare([pair]) == [0.5] and asker.compare([]) == []
        server.starting = True
        assert asker.compare([pair]) is None
    assert asker.name.startswith("compare-")


async def _at_once(_seconds: float) -> None:
    pass
