"""Which of the day's best are better: a model compares them in pairs, and a Bradley-Terry fit makes one order of it.

One-token scores of strong insights lie close together; a direct comparison tells them apart. A new one is compared with
its log2 n nearest by score, in both orders since models favour a place, so n of them cost at most n log2 n pairs and no
pair is asked twice. What was not compared stays where its score puts it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.errors import AnswerError, RefusedError, WaitingError
from pipeline.insight.llm_base import LanguageModel
from pipeline.insight.llm_book import Book
from pipeline.insight.prompts import prompt

log = logging.getLogger(__name__)
Wins = Mapping[tuple[int, int], float]
"""(i, j) -> the chance 0..1 that i is better than j; each pair once."""
Pair = tuple[int, int]
PRIOR = 0.5
"""Of a win and of a loss that everyone has against an average one: keeps who never lost from rising without end."""
BY_SCORE = 0.5
"""A comparison's worth of what the scores say of two neighbours: they order what was not compared."""
ROUNDS = 500
CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Contender:
    """An insight as the comparing prompt shows it."""

    title: str
    text: str


def opponents(order: Sequence[int], new: Set[int], known: Iterable[Pair] = ()) -> list[Pair]:
    """For each new one, in an order best first, its log2(n) nearest that it was not compared with yet."""
    met = {frozenset(pair) for pair in known}
    most = math.floor(math.log2(len(order))) if len(order) > 1 else 0
    found: list[Pair] = []
    for at, one in enumerate(order):
        if one not in new:
            continue
        near = sorted((k for k in range(len(order)) if k != at), key=lambda k: (abs(k - at), k))
        mine = [order[k] for k in near if frozenset((one, order[k])) not in met][:most]
        met |= {frozenset((one, other)) for other in mine}
        found += [(one, other) for other in mine]
    return found


def strengths(count: int, wins: Wins, scores: Sequence[float] | None = None) -> list[float]:
    """The Bradley-Terry strengths (natural logarithms, mean 0) of `count` contenders under the prior.

    P(i beats j) = 1 / (1 + exp(strength j - strength i)). Hunter's MM steps (Ann. Statist. 32, 2004). `scores` 0..1 add
    a game of weight BY_SCORE between neighbours by score, won by the difference of their log odds.
    """
    if count < 2:
        return [0.0] * count
    games = np.zeros((count, count))
    won = np.full(count, PRIOR)
    for (i, j), chance, weight in [*((p, c, 1.0) for p, c in wins.items()), *_by_score(scores or ())]:
        games[i, j] += weight
        games[j, i] += weight
        won[i] += weight * chance
        won[j] += weight * (1 - chance)
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


def settled(scores: Mapping[int, float], wins: Wins) -> dict[int, float]:
    """The scores of those that were compared, dealt out anew by strength; of the others as they are.

    The same scores stay in play, so that floors, feedback and thin days mean what they meant.
    """
    ours = {pair: chance for pair, chance in wins.items() if pair[0] in scores and pair[1] in scores}
    order = sorted({i for pair in ours for i in pair}, key=lambda i: (-scores[i], i))
    place = {i: k for k, i in enumerate(order)}
    values = [scores[i] for i in order]
    found = strengths(len(order), {(place[i], place[j]): c for (i, j), c in ours.items()}, values)
    best = sorted(order, key=lambda i: (-found[place[i]], place[i]))
    return dict(scores) | dict(zip(best, values, strict=True))


def games_of(wins: Wins) -> dict[int, tuple[float, int]]:
    """Of each that was compared: games won (fractions count) and games."""
    told: dict[int, tuple[float, int]] = {}
    for (i, j), chance in wins.items():
        for one, share in ((i, chance), (j, 1 - chance)):
            won, met = told.get(one, (0.0, 0))
            told[one] = (won + share, met + 1)
    return told


async def chances(model: LanguageModel, asked: Sequence[tuple[Contender, Contender]]) -> list[float]:
    """For each pair the chance 0..1 that the first is better. Raises what LanguageModel says."""
    ask = prompt("compare")
    prompts = [ask.messages(one=a, other=b) for pair in asked for a, b in (pair, pair[::-1])]
    answers = await model.yes_no(prompts, ask.label)
    return [_chance(answers[2 * k], answers[2 * k + 1]) for k in range(len(asked))]


class Comparer:
    """Asks a served model. `name` is kept with each comparison."""

    def __init__(self, open_model: Callable[[], AbstractAsyncContextManager[LanguageModel]], book: Book | None = None):
        self._open, self._book = open_model, book
        self.name = prompt("compare").version

    def compare(self, asked: Sequence[tuple[Contender, Contender]]) -> list[float] | None:
        """See `chances`. None while the model is away, spent or of no use: scores order well enough to send a mail."""
        if not asked:
            return []
        try:
            if self._book is not None:
                self._book.check()
            return asyncio.run(self._ask(asked))
        except (WaitingError, AnswerError, RefusedError) as e:
            log.warning("the day's best are not compared: %s", e)
            return None
        finally:
            if self._book is not None:
                self._book.flush()

    async def _ask(self, asked: Sequence[tuple[Contender, Contender]]) -> list[float]:
        async with self._open() as model:
            return await chances(model, asked)


def _chance(first: float, turned: float) -> float:
    """That i is better, from both orders: what only a place earned cancels out."""
    return 1 / (1 + math.exp(-(first - turned) / 2))


def _by_score(scores: Sequence[float]) -> list[tuple[Pair, float, float]]:
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    odds = [min(max(s, 1e-6), 1 - 1e-6) for s in scores]
    logs = [math.log(s / (1 - s)) for s in odds]
    return [((i, j), 1 / (1 + math.exp(logs[j] - logs[i])), BY_SCORE) for i, j in pairwise(order)]
