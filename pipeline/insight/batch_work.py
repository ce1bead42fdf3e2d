"""Episodes on their way through a batch: what is to be asked next, and the insights once everything is answered.

The same writer, proof and tables as with a served model. An episode takes a few files: insights of its parts, then
lengths that have to be mended and passages that were passed over, then support, scores and twins. Until the last of
them nothing of it changes for anybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.clock import Clock
from pipeline.errors import NotFoundError, PodsiftError
from pipeline.insight.batch import Question
from pipeline.insight.batch_model import AnswerFile, PendingError, open_file
from pipeline.insight.llm_book import Tally
from pipeline.insight.relate import meanings, text_key
from pipeline.insight.toolbox import Toolbox
from pipeline.insight.write import MoeWriter
from pipeline.records import EpisodeContext, Findings, Transcript
from pipeline.settings import LlmSettings
from pipeline.store import batches, episodes, insights, llm_calls, transcripts
from pipeline.store.database import Database

Context = Callable[[dict[str, object]], EpisodeContext]
HOLDS = ("extract", "done")
"""Stages at which an episode's insights may be written anew; it goes on to `relate`."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where an episode is after a look at its answers: questions that are open, or the number of its insights, or of
    the links and comparisons that answers brought, or why it cannot be done."""

    episode_id: int
    title: str
    questions: tuple[Question, ...] = ()
    insights: int | None = None
    links: int | None = None
    error: str | None = None


class BatchWork:
    """For one command. `model` is the name that is asked for."""

    def __init__(self, db: Database, clock: Clock, tools: Toolbox, context_of: Context, model: str):
        self._db, self._clock, self._tools = db, clock, tools
        self._context_of, self._model = context_of, model

    def turn(self, episode_id: int) -> Turn:
        """Go as far as the answers go; when all are there, store the insights and let the episode go on."""
        with self._db.begin() as conn:
            row = episodes.get(conn, episode_id)
            answers = batches.answers(conn, episode_id)
            title = str(row["title"] or f"episode {episode_id}")
            try:
                transcript = transcripts.load(conn, episode_id)
            except NotFoundError as e:
                return Turn(episode_id, title, error=str(e))
        if row["stage"] not in HOLDS:
            return Turn(episode_id, title, error=f"it is at stage {row['stage']}; try again when it is done")
        if transcript.poor:
            return Turn(episode_id, title, error=f"its transcript is too poor: {transcript.poor}")
        file, tally = AnswerFile(episode_id, answers), Tally()
        try:
            found = self._find(file, tally, transcript, self._context_of(row))
        except PendingError:
            found = None
        except PodsiftError as e:
            with self._db.begin() as conn:
                batches.forget(conn, episode_id)
            return Turn(episode_id, title, error=str(e))
        if file.missing or found is None:
            with self._db.begin() as conn:
                batches.ask(conn, episode_id, file.missing, self._clock.now())
            return Turn(episode_id, title, tuple(file.missing.values()))
        if not self._store(episode_id, str(row["stage"]), found, tally):
            return Turn(episode_id, title, error="it went on meanwhile; its questions are kept")
        return Turn(episode_id, title, insights=len(found.insights))

    def _find(self, file: AnswerFile, tally: Tally, transcript: Transcript, context: EpisodeContext) -> Findings:
        writer = MoeWriter(
            LlmSettings.model_validate({}),
            self._tools.ranker,
            self._tools.embedder,
            clock=self._clock,
            opened=lambda: open_file(file, self._model, tally.note, self._clock),
        )
        return writer.find(transcript, context)

    def _store(self, episode_id: int, stage: str, found: Findings, tally: Tally) -> bool:
        texts = [d.text for d in found.insights]
        vectors = meanings(self._tools.embedder, texts)
        with self._db.begin() as conn:
            if not episodes.advance(conn, episode_id, stage, "relate"):
                return False
            insights.save(conn, episode_id, found, [text_key(t) for t in texts], vectors, self._clock.now())
            llm_calls.save(conn, tally.calls)
            batches.forget(conn, episode_id)
        return True
