"""Which of the day's best are better: a model compares them in pairs, and a Bradley-Terry fit makes one order of it.

One-token scores of strong insights lie close together; a direct comparison tells them apart. Each pair is asked in both
orders, since models favour a place, and at most n log2 n pairs are asked: first neighbours in the order so far, then
ever farther ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.insight.llm_base import LanguageModel
from pipeline.insight.prompts import prompt

Wins = Mapping[tuple[int, int], float]
"""(i, j) -> the chance 0..1 that i is better than j; each pair once."""
PRIOR = 0.5
"""Of a win and of a loss that everyone has against an average one: keeps who never lost from rising without end."""
ROUNDS = 500
CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Contender:
    """An insight as the comparing prompt shows it."""

    title: str
    text: str


def pairs(count: int) -> list[tuple[int, int]]:
    """At most count * log2(count) pairs of places in an order, near ones first; every place is connected."""
    most = math.floor(count * math.log2(count)) if count > 1 else 0
    return [pair for _, pair in zip(range(most), _by_distance(count), strict=False)]


def strengths(count: int, wins: Wins) -> list[float]:
    """The Bradley-Terry strengths (natural logarithms, mean 0) of `count` contenders under the prior.

    P(i beats j) = 1 / (1 + exp(strength j - strength i)). Hunter's MM steps (Ann. Statist. 32, 2004).
    """
    if count < 2:
        return [0.0] * count
    games = np.zeros((count, count))
    won = np.full(count, PRIOR)
    for (i, j), chance in wins.items():
        games[i, j] += 1
        games[j, i] += 1
        won[i] += chance
        won[j] += 1 - chance
    value = np.ones(count)
    for _ in range(ROUNDS):
        # The average one of the prior has value 1 and has played 2 * PRIOR times against everyone.
        met = (games / (value[:, None] + value[None, :])).sum(axis=1) + 2 * PRIOR / (value + 1)
        after = won / met
        done = float(np.max(np.abs(np.log(after / value)))) < CLOSE
        value = after
        if done:
            break
    logs = np.log(value)
    return [float(x) for x in logs - logs.mean()]


async def compared(model: LanguageModel, contenders: Sequence[Contender]) -> list[float]:
    """Strengths of contenders that are given best first, by what is known so far. Raises what LanguageModel says."""
    ask, asked = prompt("compare"), pairs(len(contenders))
    prompts = [ask.messages(one=contenders[a], other=contenders[b]) for i, j in asked for a, b in ((i, j), (j, i))]
    answers = await model.yes_no(prompts, ask.label)
    wins = {pair: _chance(answers[2 * k], answers[2 * k + 1]) for k, pair in enumerate(asked)}
    return strengths(len(contenders), wins)


def _chance(first: float, turned: float) -> float:
    """That i is better, from both orders: what only a place earned cancels out."""
    return 1 / (1 + math.exp(-(first - turned) / 2))


def _by_distance(count: int) -> Iterator[tuple[int, int]]:
    for distance in range(1, count):
        for i in range(count - distance):
            yield i, i + distance
