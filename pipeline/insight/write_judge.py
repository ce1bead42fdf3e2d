"""Asks a served model what only a reader can tell: is it borne out, is it good, is it told twice. One token a question.

Each question shows the cited sentences and the statement and nothing else of the episode, so that whatever is said
elsewhere in it cannot sway the answer. All questions about a statement begin alike, for the server's prefix cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.insight.embed import Vectors
from pipeline.insight.llm_base import LanguageModel, Message
from pipeline.insight.prompts import Prompt, lines, prompt
from pipeline.insight.relate import GATE, near_verbatim
from pipeline.records import InsightDraft, Transcript

ASPECTS = ("specific", "surprising", "useful")
"""What makes the score."""
STANDS = "stands"
SUPPORTED = STANDING = SAME = 0.0
"""log p(Yes) - log p(No) above which the answer is yes."""
SPREAD = 4.0
"""Large models are sure: the differences are mostly between -10 and 10, and dividing by this keeps them apart."""
MOST_PAIRS = 120


@dataclass(frozen=True, slots=True)
class Graded:
    """A supported insight with its score 0..1, and whether it makes sense by itself."""

    draft: InsightDraft
    score: float
    stands: bool


async def support(model: LanguageModel, drafts: Sequence[InsightDraft], transcript: Transcript) -> list[float]:
    """For each draft log p(Yes) - log p(No) that its evidence says all that it says."""
    ask = prompt("support")
    return await model.yes_no([ask.messages(**_shown(d, transcript)) for d in drafts], ask.label)


async def grade(model: LanguageModel, drafts: Sequence[InsightDraft], transcript: Transcript) -> list[Graded]:
    """Score the drafts, in the order given."""
    ask = prompt("score")
    aspects = (*ASPECTS, STANDS)
    prompts = [ask.messages(aspect=a, **_shown(d, transcript)) for d in drafts for a in aspects]
    answers = await model.yes_no(prompts, ask.label)
    found = []
    for i, draft in enumerate(drafts):
        *worth, stands = answers[i * len(aspects) : (i + 1) * len(aspects)]
        found.append(Graded(draft, score_of(worth), stands > STANDING))
    return found


async def alike(model: LanguageModel, drafts: Sequence[InsightDraft], vectors: Vectors) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, that tell the same: nearly the same words, or near vectors and the model says so in both
    orders together. `vectors`: shape (len(drafts), dimensions)."""
    pairs = candidates(drafts, vectors)
    found = {pair for pair in pairs if near_verbatim(drafts[pair[0]].text, drafts[pair[1]].text)}
    asked = [pair for pair in pairs if pair not in found]
    ask = prompt("same")
    prompts = [_pair(ask, drafts[a], drafts[b]) for i, j in asked for a, b in ((i, j), (j, i))]
    answers = await model.yes_no(prompts, ask.label)
    for k, pair in enumerate(asked):
        if (answers[2 * k] + answers[2 * k + 1]) / 2 > SAME:
            found.add(pair)
    return found


def candidates(drafts: Sequence[InsightDraft], vectors: Vectors) -> list[tuple[int, int]]:
    """Pairs worth asking about, likest first: above the gate, resting on the same sentence, or nearly verbatim."""
    cosines = vectors @ vectors.T
    pairs = []
    for (i, a), (j, b) in combinations(enumerate(drafts), 2):
        if cosines[i, j] >= GATE or set(a.evidence) & set(b.evidence) or near_verbatim(a.text, b.text):
            pairs.append((float(cosines[i, j]), i, j))
    return [(i, j) for _, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[:MOST_PAIRS]]


def merged(graded: Sequence[Graded], same: set[tuple[int, int]], most: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Which to keep, best first, at most so many; and (twin, kept) of those that say what a better one says."""
    order = sorted(range(len(graded)), key=lambda i: (-graded[i].score, graded[i].draft.first, i))
    kept: list[int] = []
    twins: list[tuple[int, int]] = []
    for i in order:
        of = next((k for k in kept if (min(i, k), max(i, k)) in same), None)
        if of is not None:
            twins.append((i, of))
        elif len(kept) < most:
            kept.append(i)
    return kept, twins


def score_of(answers: Iterable[float]) -> float:
    """The mean chance of a Yes, 0..1, each flattened by SPREAD."""
    chances = [1 / (1 + math.exp(-answer / SPREAD)) for answer in answers]
    return round(sum(chances) / len(chances), 6)


def _shown(draft: InsightDraft, transcript: Transcript) -> dict[str, object]:
    cited = lines(transcript.sentences[n] for n in draft.evidence)
    return {"lines": cited, "title": draft.title, "text": draft.text}


def _pair(ask: Prompt, one: InsightDraft, other: InsightDraft) -> tuple[Message, Message]:
    return ask.messages(one=one, other=other)
