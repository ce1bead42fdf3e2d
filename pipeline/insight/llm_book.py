"""Writes down every call to the served model, and knows what is left of a day's tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.clock import Clock
from pipeline.errors import WaitingError
from pipeline.insight.llm_base import LlmCall
from pipeline.store import llm_calls
from pipeline.store.database import Database

EACH = 20
"""Calls are written so many at a time: a call of a few milliseconds must not wait for a disk."""


class Book:
    """For one run of work; `flush` at its end. Days are UTC days."""

    def __init__(self, db: Database, clock: Clock, daily_tokens: int = 0):
        self._db, self._clock, self._daily = db, clock, daily_tokens
        self._waiting: list[LlmCall] = []

    def note(self, call: LlmCall) -> None:
        """Keep a call."""
        self._waiting.append(call)
        if len(self._waiting) >= EACH:
            self.flush()

    def flush(self) -> None:
        """Write what is kept."""
        calls, self._waiting = self._waiting, []
        if calls:
            with self._db.begin() as conn:
                llm_calls.save(conn, calls)

    def check(self) -> None:
        """Raises WaitingError, until midnight UTC, when the day's tokens are spent.

        Asked before an episode is begun: one that has begun is finished, or a small budget would buy only halves.
        """
        if not self._daily:
            return
        now = self._clock.now()
        midnight = start_of_day(now)
        with self._db.begin() as conn:
            spent = llm_calls.tokens_since(conn, midnight)
        if spent >= self._daily:
            raise WaitingError(
                "The language model's tokens for today are spent",
                why=f"{spent:,} of {self._daily:,} since 00:00 UTC",
                hint="raise llm.daily_tokens (PODSIFT_LLM_DAILY_TOKENS), or wait for the next day",
                retry_after_s=(midnight + timedelta(days=1) - now).total_seconds(),
            )


class Tally(Book):
    """Counts calls in memory and writes nothing, for an evaluation."""

    def __init__(self) -> None:
        self.calls: list[LlmCall] = []

    def note(self, call: LlmCall) -> None:
        self.calls.append(call)

    def flush(self) -> None:
        """Nothing is written."""

    def check(self) -> None:
        """No budget holds."""

    def tokens(self) -> int | None:
        """Tokens of the calls that were answered, as far as the server told; None for no calls."""
        known = [(c.prompt_tokens or 0) + (c.completion_tokens or 0) for c in self.calls if c.outcome == "ok"]
        return sum(known) if known else None


def start_of_day(now: datetime) -> datetime:
    """Midnight UTC before `now`."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
