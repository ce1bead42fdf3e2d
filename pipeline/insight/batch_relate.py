"""How the insights of finished episodes stand to others, and which of the best are better, asked through a batch.

Until the answers are there words alone have judged, as without a model, so nothing waits for a file. Then the model's
verdicts take their place, and its comparisons are kept as a served model's are.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta

from pipeline.clock import Clock
from pipeline.errors import PodsiftError
from pipeline.insight.batch_model import AnswerFile, PendingError, open_file
from pipeline.insight.batch_work import Turn
from pipeline.insight.compare import Comparer
from pipeline.insight.judge import ModelJudge
from pipeline.insight.llm_base import LanguageModel
from pipeline.insight.llm_book import Tally
from pipeline.insight.standing import COMPARED, NEIGHBOURS, compared, judged
from pipeline.store import batches, episodes, links, llm_calls, matches
from pipeline.store.database import Database


class BatchRelating:
    """For one command. `model` is the name that is asked for, `lookback` the days whose best are compared."""

    def __init__(self, db: Database, clock: Clock, model: str, lookback: timedelta):
        self._db, self._clock, self._model, self._lookback = db, clock, model, lookback

    def turn(self, episode_id: int) -> Turn:
        """Go as far as the answers go; when all are there, store the links. Each pair is asked about once, with the
        newer of its episodes."""
        now = self._clock.now()
        with self._db.begin() as conn:
            row = episodes.get(conn, episode_id)
            answers = batches.answers(conn, episode_id)
            near = links.neighbours(conn, episode_id, gate=ModelJudge.gate, k=NEIGHBOURS, since=now - COMPARED)
        mine = [n for n in near if n.newer.insight.episode_id == episode_id]
        title = str(row["title"] or f"episode {episode_id}")
        file, tally = AnswerFile(episode_id, answers, batches.RELATING), Tally()

        def opened() -> AbstractAsyncContextManager[LanguageModel]:
            return open_file(file, self._model, tally.note, self._clock)

        found: list[links.Link] | None = None
        try:
            with suppress(PendingError):
                found = list(judged(ModelJudge(opened), mine))
            wins, asked = compared(self._db, Comparer(opened), episode_id, now - self._lookback)
        except PodsiftError as e:
            with self._db.begin() as conn:
                batches.forget(conn, episode_id, relating=True)
            return Turn(episode_id, title, error=str(e))
        with self._db.begin() as conn:
            if file.missing or found is None:
                batches.ask(conn, episode_id, file.missing, now)
                return Turn(episode_id, title, tuple(file.missing.values()))
            links.renew(conn, episode_id, found, now)
            matches.save(conn, wins, asked, now)
            if tally.calls:
                llm_calls.save(conn, tally.calls)
            batches.forget(conn, episode_id, relating=True)
        return Turn(episode_id, title, links=len(found) + len(wins) if answers else None)
