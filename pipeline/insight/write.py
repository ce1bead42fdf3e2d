"""The MoE writer: a served language model finds and words the insights, and none goes out that it cannot prove.

Every part of the transcript is read, and the best passages that brought nothing once more by themselves. What comes
back names sentences; its numbers, names and words must stand there, and the model, shown only them, must say that they
bear it out. Then each is scored by one-token questions, and what an episode says twice is said once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from pipeline.clock import Clock
from pipeline.insight.embed import Embedder
from pipeline.insight.llm import LanguageModel, ModelFacts, open_model
from pipeline.insight.llm_book import Book
from pipeline.insight.llm_wire import Pause
from pipeline.insight.passage import passages
from pipeline.insight.prompts import prompt
from pipeline.insight.prove import proven
from pipeline.insight.rank import Ranker
from pipeline.insight.relate import stems, text_key
from pipeline.insight.write_ask import Asker
from pipeline.insight.write_judge import SUPPORTED, alike, grade, merged, support
from pipeline.insight.write_parts import usable
from pipeline.insight.write_schema import Written, draft
from pipeline.records import (
    Dropped,
    EpisodeContext,
    Findings,
    InsightDraft,
    Origin,
    Passage,
    Sentence,
    Transcript,
)
from pipeline.settings import LlmSettings

MOST = 8
"""Insights of one episode at most, as the selecting writer; a digest takes two of them at most."""
CANDIDATES = 60
"""So many of one episode are judged at most."""
NEAR_WORDS = 0.12
NEAR_VECTOR = 0.35
"""Share of an insight's stems that its evidence has, and their cosine. Of 235 insights that a large model wrote none is
below either with its own evidence; with other windows of the same episode 89 % are."""
READABLE = 5
"""Stems that a claim has at least when it is written in Latin letters."""
PROMPTS = ("extract", "rewrite", "support", "score", "same")
DETAIL = 300
Open = Callable[[], AbstractAsyncContextManager[LanguageModel]]


class MoeWriter:
    """Writes with the model at `settings.url`. Without a `book` no call is kept and no budget holds."""

    def __init__(
        self,
        settings: LlmSettings,
        ranker: Ranker,
        embedder: Embedder,
        *,
        book: Book | None = None,
        clock: Clock | None = None,
        pause: Pause = asyncio.sleep,
        opened: Open | None = None,
    ):
        """`opened` gives another model than the served one."""
        self._settings, self._ranker, self._embedder = settings, ranker, embedder
        self._book, self._clock, self._pause = book, clock, pause
        self._opened = opened
        self._facts: ModelFacts | None = None

    @property
    def origin(self) -> Origin:
        """Known exactly once the server has been asked."""
        versions = " ".join(prompt(name).version for name in PROMPTS)
        if self._facts is None:
            return Origin("moe", model=self._settings.model, prompt_version=versions)
        facts = self._facts
        return Origin("moe", facts.model, facts.revision, facts.quantisation, versions)

    def find(self, transcript: Transcript, context: EpisodeContext) -> Findings:
        """See Writer. Raises WaitingError also when the day's tokens are spent, AnswerError when the model answers
        nothing usable, TransientError when it breaks off or is too slow."""
        if self._book is not None:
            self._book.check()
        cut = passages(transcript)
        ranked = self._ranker.score(cut, transcript, self._embedder) if cut else ()
        sentences = usable(transcript)
        if not sentences:
            return Findings(self.origin, ranked, ())
        try:
            return asyncio.run(self._find(transcript, context, sentences, ranked))
        finally:
            if self._book is not None:
                self._book.flush()

    async def _find(
        self,
        transcript: Transcript,
        context: EpisodeContext,
        sentences: Sequence[Sentence],
        ranked: tuple[Passage, ...],
    ) -> Findings:
        async with self._open() as model:
            self._facts = model.facts
            asker = Asker(model, transcript, context)
            drafts = await self._proven(asker, await asker.read_all(sentences, ranked), ranked, transcript)
            again = await asker.read_missed(sentences, ranked, [d.evidence for d in drafts])
            drafts += await self._proven(asker, again, ranked, transcript)
            insights = await self._judged(model, drafts[:CANDIDATES], transcript, asker.dropped)
        dropped = tuple(Dropped(d.reason, d.detail[:DETAIL]) for d in asker.dropped)
        return Findings(self.origin, ranked, insights, dropped)

    def _open(self) -> AbstractAsyncContextManager[LanguageModel]:
        if self._opened is not None:
            return self._opened()
        record = self._book.note if self._book is not None else None
        return open_model(self._settings, record=record, clock=self._clock, pause=self._pause)

    async def _proven(
        self, asker: Asker, found: Sequence[Written], ranked: Sequence[Passage], transcript: Transcript
    ) -> list[InsightDraft]:
        """Those of the right length whose numbers, names and words their evidence has."""
        written = await asker.mend(best(found, ranked, asker.dropped))
        drafts, unproven = proven((draft(w, transcript) for w in written), transcript)
        near = self._related(drafts, transcript)
        asker.dropped += [*unproven, *(Dropped("unrelated", d.title) for d in drafts if d not in near)]
        return near

    async def _judged(
        self, model: LanguageModel, drafts: Sequence[InsightDraft], transcript: Transcript, dropped: list[Dropped]
    ) -> tuple[InsightDraft, ...]:
        """The drafts that are borne out, stand by themselves and say something of their own, scored, best first."""
        answers = await support(model, drafts, transcript)
        sure = [d for d, answer in zip(drafts, answers, strict=True) if answer > SUPPORTED]
        dropped += [Dropped("unsupported", d.title) for d in drafts if d not in sure]
        graded = await grade(model, sure, transcript)
        dropped += [Dropped("does not stand", g.draft.title) for g in graded if not g.stands]
        standing = [g for g in graded if g.stands]
        if not standing:
            return ()
        of = [g.draft for g in standing]
        same = await alike(model, of, self._embedder.embed([d.text for d in of]))
        kept, twins = merged(standing, same, MOST)
        dropped += [Dropped("twin", f"{of[i].title}: says what is said in: {of[k].title}") for i, k in twins]
        others = set(range(len(of))) - set(kept) - {i for i, _ in twins}
        dropped += [Dropped("not among the best", of[i].title) for i in sorted(others)]
        return tuple(replace(standing[i].draft, score=standing[i].score) for i in kept)

    def _related(self, drafts: Sequence[InsightDraft], transcript: Transcript) -> list[InsightDraft]:
        """The drafts that are about what their evidence is about, by words and by vectors: catches wrong numbers."""
        if not drafts:
            return []
        claims = [f"{d.title}. {d.text}" for d in drafts]
        proofs = [" ".join(transcript.sentences[n].text for n in d.evidence) for d in drafts]
        vectors = self._embedder.embed([*claims, *proofs])
        cosines = (vectors[: len(drafts)] * vectors[len(drafts) :]).sum(axis=1)
        words = [shared(c, p) for c, p in zip(claims, proofs, strict=True)]
        return [
            d
            for d, cosine, share in zip(drafts, cosines, words, strict=True)
            if share is None or (cosine >= NEAR_VECTOR and share >= NEAR_WORDS)
        ]


def shared(claim: str, proof: str) -> float | None:
    """The share of a claim's stems that its proof has; None in a script that neither stems nor vectors can read."""
    of = stems(claim)
    return len(of & stems(proof)) / len(of) if len(of) >= READABLE else None


def best(written: Sequence[Written], ranked: Sequence[Passage], dropped: list[Dropped]) -> list[Written]:
    """At most CANDIDATES, none twice word for word; too many are cut by what the ranker thinks of their evidence."""
    distinct = {text_key(w.text): w for w in reversed(written)}
    dropped += [Dropped("twin", f"{w.title}: written twice") for w in written if distinct[text_key(w.text)] is not w]
    score = {n: p.score for p in ranked for n in range(p.first, p.last + 1)}
    order = sorted(distinct.values(), key=lambda w: (-max(score.get(n, 0.0) for n in w.evidence), w.evidence))
    dropped += [Dropped("too many", w.title) for w in order[CANDIDATES:]]
    return sorted(order[:CANDIDATES], key=lambda w: w.evidence)
