"""Moving an installation from one database to another: every table, counted on both sides."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Integer, Table, func, insert, select, text

from pipeline.errors import PodsiftError, UsageError
from pipeline.store import episodes
from pipeline.store.database import Database
from pipeline.store.tables import metadata

BATCH = 500
Progress = Callable[[str, int, int], None]
"""(table, rows copied, rows there are)."""


def copy(source: Database, target: Database, progress: Progress | None = None) -> dict[str, int]:
    """Copy all rows in one transaction of the target. Returns the number of rows by table.

    Raises UsageError when the target has rows, PodsiftError when the counts differ at the end. What is written to the
    source meanwhile is not seen: all is read as of one moment.
    """
    counts: dict[str, int] = {}
    with source.begin(snapshot=True) as old, target.begin() as new:
        for table in metadata.sorted_tables:
            if _count(new, table):
                raise UsageError(
                    f"The target's table {table.name} has rows already", hint="copy into a new, empty database"
                )
        for table in metadata.sorted_tables:
            counts[table.name] = _copy_table(old, new, table, progress)
            if target.on_postgres:
                _continue_numbers(new, table)
        for name, count in counts.items():
            arrived = _count(new, metadata.tables[name])
            if arrived != count:
                raise PodsiftError(f"Of {count} rows of {name} {arrived} arrived; nothing was kept")
        # What waits has no job in the new database yet.
        episodes.wake(new, [w.episode_id for w in episodes.wakeups(new)])
    return counts


def _count(conn: Connection, table: Table) -> int:
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def _copy_table(old: Connection, new: Connection, table: Table, progress: Progress | None) -> int:
    total, done = _count(old, table), 0
    rows = old.execution_options(yield_per=BATCH).execute(select(table).order_by(*table.primary_key.columns))
    for part in rows.mappings().partitions():
        new.execute(insert(table), [dict(r) for r in part])
        done += len(part)
        if progress:
            progress(table.name, done, total)
    return done


def _continue_numbers(conn: Connection, table: Table) -> None:
    """The next id after the copied ones. A sequence does not notice ids that were given."""
    keys = list(table.primary_key.columns)
    if len(keys) != 1 or not isinstance(keys[0].type, Integer) or keys[0].foreign_keys:
        return
    highest = conn.execute(select(func.max(keys[0]))).scalar()
    if highest is not None:
        conn.execute(
            text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"),
            {"table": table.name, "column": keys[0].name, "highest": highest},
        )
