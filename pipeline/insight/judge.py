"""How a new insight stands to earlier ones: the same, an update, disputed, extended, or only near it.

Two stages: a gate (the vectors' cosine) picks pairs worth a question, a judge decides. Without a model the judge is
`relate.same_idea`, which calls two texts the same only when nearly every sign agrees, and never says "update". A model
is asked about pairs that are farther apart as well, first whether they touch at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import AnswerError, WaitingError
from pipeline.insight.embed import Vectors
from pipeline.insight.llm_base import LanguageModel
from pipeline.insight.llm_book import Book
from pipeline.insight.numbers import numbers
from pipeline.insight.prompts import prompt
from pipeline.insight.relate import GATE, near_verbatim, same_idea

log = logging.getLogger(__name__)

KINDS: Mapping[str, str] = {
    "same": "says the same",
    "update": "tells what has become of it",
    "disputes": "says that it is wrong",
    "extends": "adds to it",
    "related": "is about the same subject",
}
"""What a newer insight is to an earlier one."""
ASPECTS = ("same", "update", "disputes", "extends")
TOUCHES = "touches"
ASKED = 0.30
"""The gate of a model: of 40 written paraphrases 18 have a cosine of 0.40 or more and 33 of 0.30 (docs/never-twice.md).
Below 0.40 one question is asked first."""
APART = "unrelated"
"""A verdict that leaves no link."""
YES = 0.0
"""log p(Yes) - log p(No) above which the answer is yes."""
SURE = 1.0
"""Merging hides an insight, so "the same" has to be this much surer than a link needs to be."""
LONGEST_CHANGE = 240
CHANGED_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"changed": {"type": "string", "minLength": 10, "maxLength": LONGEST_CHANGE}},
    "required": ["changed"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Said:
    """An insight as a judge sees it; the vector is of unit length, shape (dimensions,)."""

    title: str
    text: str
    vector: Vectors


@dataclass(frozen=True, slots=True)
class Pair:
    """A newer insight beside an earlier one."""

    newer: Said
    earlier: Said

    @property
    def cosine(self) -> float:
        return float(self.newer.vector @ self.earlier.vector)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` is a key of KINDS; `changed` says what an update changes, in words that its texts bear out."""

    kind: str
    reason: str
    changed: str | None = None


class Judge(Protocol):
    """Decides pairs that passed the gate."""

    @property
    def name(self) -> str:
        """Kept with each verdict: which judge it was, and by which prompts."""
        ...

    @property
    def gate(self) -> float:
        """Pairs whose cosine is below this are not worth its time."""
        ...

    def decide(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """One verdict a pair, in order. Raises WaitingError when the model is away."""
        ...


class WordsJudge:
    """Decides by words, numbers and vectors alone."""

    name = "words"
    gate = GATE

    def decide(self, pairs: Sequence[Pair]) -> list[Verdict]:
        verdicts = []
        for p in pairs:
            found = same_idea(p.newer.text, p.newer.vector, p.earlier.text, p.earlier.vector)
            verdicts.append(Verdict("same" if found.same else "related", found.reason))
        return verdicts


Open = Callable[[], AbstractAsyncContextManager[LanguageModel]]


class ModelJudge:
    """Asks a served model four one-token questions a pair, "the same" in both orders; of a pair below the usual gate
    only when it says to a fifth one that they touch."""

    gate = ASKED

    def __init__(self, open_model: Open, book: Book | None = None):
        self._open, self._book = open_model, book
        self.name = prompt("relation").version

    def decide(self, pairs: Sequence[Pair]) -> list[Verdict]:
        if not pairs:
            return []
        if self._book is None:
            return asyncio.run(self._decide(pairs))
        self._book.check()
        try:
            return asyncio.run(self._decide(pairs))
        finally:
            self._book.flush()

    async def _decide(self, pairs: Sequence[Pair]) -> list[Verdict]:
        async with self._open() as model:
            far = [p for p in pairs if p.cosine < GATE]
            touching = await _ask(model, [(p, (TOUCHES,)) for p in far])
            apart = {id(p) for p, (answer,) in zip(far, touching, strict=True) if answer <= YES}
            near = [p for p in pairs if id(p) not in apart]
            answers = await _ask(model, [(p, (*ASPECTS, TURNED)) for p in near])
            found = {id(p): decided(p, of[:-1], of[-1]) for p, of in zip(near, answers, strict=True)}
            verdicts = [found.get(id(p)) or _apart(p) for p in pairs]
            return [
                await _with_change(model, p, v) if v.kind == "update" else v
                for p, v in zip(pairs, verdicts, strict=True)
            ]


TURNED = "turned"
"""The question for the same, with the two exchanged."""


async def _ask(model: LanguageModel, asked: Sequence[tuple[Pair, Sequence[str]]]) -> list[list[float]]:
    """The answers to each pair's questions."""
    ask = prompt("relation")
    questions = [
        ask.messages(aspect="same", earlier=p.newer, newer=p.earlier)
        if aspect == TURNED
        else ask.messages(aspect=aspect, earlier=p.earlier, newer=p.newer)
        for p, aspects in asked
        for aspect in aspects
    ]
    answers = iter(await model.yes_no(questions, ask.label) if questions else [])
    return [[next(answers) for _ in aspects] for _, aspects in asked]


class StandInJudge:
    """A judge for which another decides while its model is away."""

    def __init__(self, first: Judge, other: Judge):
        self._first, self._other = first, other
        self.name, self.gate = first.name, first.gate

    def decide(self, pairs: Sequence[Pair]) -> list[Verdict]:
        try:
            self.name = self._first.name
            return self._first.decide(pairs)
        except WaitingError as e:
            log.warning("words alone judge for now: %s", e)
            self.name = self._other.name
            near = [p for p in pairs if p.cosine >= self._other.gate]
            said = dict(zip(map(id, near), self._other.decide(near), strict=True))
            return [said.get(id(p)) or _apart(p) for p in pairs]


def decided(pair: Pair, answers: Sequence[float], same_turned: float) -> Verdict:
    """From the answers (log p(Yes) - log p(No), in the order of ASPECTS) to a verdict.

    A denial or a change is news, so either outweighs "the same"; nearly the same words are the same whatever is said.
    """
    if near_verbatim(pair.newer.text, pair.earlier.text):
        return Verdict("same", "nearly the same words")
    same, update, disputes, extends = answers
    same = (same + same_turned) / 2
    strongest = max(("disputes", disputes), ("update", update), key=lambda kind: kind[1])
    if strongest[1] > YES and strongest[1] > same - SURE:
        return Verdict(strongest[0], f"judged by the model ({strongest[1]:+.1f})")
    if same > SURE:
        return Verdict("same", f"judged by the model ({same:+.1f})")
    if extends > YES:
        return Verdict("extends", f"judged by the model ({extends:+.1f})")
    return Verdict("related", f"near it (likeness {pair.cosine:.2f})") if pair.cosine >= GATE else _apart(pair)


def _apart(pair: Pair) -> Verdict:
    return Verdict(APART, f"another idea (likeness {pair.cosine:.2f})")


async def _with_change(model: LanguageModel, pair: Pair, verdict: Verdict) -> Verdict:
    ask = prompt("changed")
    try:
        answer = await model.chat_json(
            ask.messages(earlier=pair.earlier, newer=pair.newer), CHANGED_SCHEMA, 120, ask.label
        )
    except AnswerError:
        return verdict
    return Verdict(verdict.kind, verdict.reason, borne_out(answer.get("changed"), pair))


def borne_out(changed: object, pair: Pair) -> str | None:
    """What the model says has changed, if it is one short line whose numbers stand in the two texts; else None."""
    if not isinstance(changed, str):
        return None
    line = " ".join(changed.split())
    known = numbers(f"{pair.earlier.title} {pair.earlier.text} {pair.newer.title} {pair.newer.text}")
    if not 10 <= len(line) <= LONGEST_CHANGE or not numbers(line) <= known:
        return None
    return None if any(sign in line for sign in ("<", ">", "://", "www.", "[", "]", "`")) else line
