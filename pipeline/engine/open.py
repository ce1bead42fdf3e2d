"""Which engine a database has: the in-process runner on SQLite, the job queue on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.clock import Clock
from pipeline.engine.base import Engine, Report
from pipeline.engine.local import Gate, LocalEngine
from pipeline.engine.step import Stage
from pipeline.store.database import Database


def open_engine(
    db: Database,
    clock: Clock,
    stages: Sequence[Stage],
    report: Report | None = None,
    chores: Mapping[str, Callable[[], None]] | None = None,
    gate: Gate | None = None,
) -> Engine:
    """`chores` are what a clock orders by name; on SQLite the clock does them itself. `gate` is for SQLite's alone."""
    if db.on_postgres:
        from pipeline.engine.queue import QueueEngine

        return QueueEngine(db, clock, stages, report, chores)
    return LocalEngine(db, clock, stages, report, gate)
