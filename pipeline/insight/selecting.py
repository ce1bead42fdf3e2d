"""The selecting writer: takes the best passages as they were said. No language model, nothing it could make up.

The ranker names the passages; around each, every run of whole sentences of 25 to 70 words is a possible excerpt. The
excerpt must stand on its own (not begin with "And that's why"), is scored again by itself, and is its own proof. First
words that only join it to what was said before are left out of the text, not of the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.insight.embed import Embedder, Vectors
from pipeline.insight.excerpt import readable
from pipeline.insight.features import text_of
from pipeline.insight.opening import begun, opening
from pipeline.insight.passage import passages
from pipeline.insight.prove import proven
from pipeline.insight.rank import Ranker
from pipeline.insight.relate import near_verbatim
from pipeline.insight.title import Meaning, title_of
from pipeline.records import Dropped, EpisodeContext, Findings, InsightDraft, Origin, Passage, Transcript

MOST = 8
"""Insights of one episode at most; a digest takes two of them at most."""
FLOOR = 0.08
"""Of passages scored below 0.10, one in thirty was graded an insight (docs/ranker.md)."""
TRIED = 3 * MOST
ALIKE = 0.72
"""Two insights of one episode whose cosine is higher are told twice."""


@dataclass(frozen=True, slots=True)
class _Excerpt:
    span: Passage
    worth: float


class SelectingWriter:
    """Selects with a ranker and an embedding model; needs nothing else and gives the same for the same transcript."""

    def __init__(self, ranker: Ranker, embedder: Embedder):
        self._ranker = ranker
        self._embedder = embedder

    @property
    def origin(self) -> Origin:
        return Origin("selecting", model=self._ranker.version, revision=self._embedder.name)

    def find(self, transcript: Transcript, context: EpisodeContext) -> Findings:  # noqa: ARG002 - the Protocol's
        cut = passages(transcript)
        if not cut:
            return Findings(self.origin, (), ())
        ranked = self._ranker.score(cut, transcript, self._embedder)
        best = sorted((p for p in ranked if p.score >= FLOOR), key=lambda p: (-p.score, p.first))[:TRIED]
        chosen, dropped = choose(self._excerpts(best, transcript), transcript, self._vector)
        drafts = sorted(
            (draft(e.span, transcript, self._embedder.embed) for e in chosen), key=lambda d: (-d.score, d.first)
        )
        kept, unproven = proven(drafts, transcript)
        return Findings(self.origin, ranked, kept, (*dropped, *unproven))

    def _vector(self, text: str) -> Vectors:
        (vector,) = self._embedder.embed([text])
        return np.asarray(vector)

    def _excerpts(self, best: Sequence[Passage], transcript: Transcript) -> list[_Excerpt]:
        """For each passage the excerpts that read best, each scored by itself and weighed by how well it reads."""
        spans = [(p, span, reads) for p in best for span, reads in readable(p, transcript)]
        distinct = sorted({(span.first, span.last) for _, span, _ in spans})
        scored = self._ranker.score([Passage(*span) for span in distinct], transcript, self._embedder)
        own = dict(zip(distinct, (p.score for p in scored), strict=True))
        found = []
        for passage, span, reads in spans:
            worth = 0.5 * (passage.score + own[span.first, span.last]) * reads
            found.append(_Excerpt(Passage(span.first, span.last, round(worth, 6)), worth))
        return found


def choose(
    excerpts: Sequence[_Excerpt], transcript: Transcript, vector: Callable[[str], Vectors]
) -> tuple[list[_Excerpt], list[Dropped]]:
    """The best excerpts that neither overlap nor tell the same, at most MOST; and what was left as a twin."""
    chosen: list[tuple[_Excerpt, str, Vectors]] = []
    dropped: list[Dropped] = []
    for excerpt in sorted(excerpts, key=lambda e: (-e.worth, e.span.first, e.span.last)):
        if len(chosen) == MOST or excerpt.worth < FLOOR:
            break
        span = excerpt.span
        if any(span.first <= c.span.last and c.span.first <= span.last for c, *_ in chosen):
            continue
        text = text_of(transcript, span.first, span.last)
        meaning = vector(text)
        twin = next(
            (c for c, other, its in chosen if float(meaning @ its) > ALIKE or near_verbatim(text, other)),
            None,
        )
        if twin is None:
            chosen.append((excerpt, text, meaning))
        else:
            dropped.append(Dropped("twin", f"sentences {span.first}-{span.last} say what {twin.span.first}- says"))
    return [excerpt for excerpt, *_ in chosen], dropped


def draft(span: Passage, transcript: Transcript, meaning: Meaning | None = None) -> InsightDraft:
    """The excerpt as an insight: its sentences are quote and evidence, and the text is the same without its opening."""
    inside = transcript.sentences[span.first : span.last + 1]
    speakers = {sentence.speaker for sentence in inside}
    text = text_of(transcript, span.first, span.last)
    return InsightDraft(
        title=title_of([sentence.text for sentence in inside], meaning),
        text=begun(text[opening(text) :]),
        quote=text,
        evidence=tuple(range(span.first, span.last + 1)),
        first=span.first,
        last=span.last,
        start_s=inside[0].start,
        end_s=inside[-1].end,
        speaker=speakers.pop() if len(speakers) == 1 else None,
        score=span.score,
    )
