"""An installation of every earlier version, with data in each table, is brought up to date and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pgvector.sqlalchemy  # noqa: F401 - so that the type of vectors is known when tables are read
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, func, insert, select
from sqlalchemy.types import JSON, Boolean, DateTime, Float, Integer, LargeBinary, Numeric

from pipeline.store import database
from pipeline.store.database import Database
from pipeline.store.tables import metadata, outbox_message
from tests import postgres

REVISIONS = [s.revision for s in ScriptDirectory.from_config(database._alembic("")).walk_revisions()][1:][::-1]
WORDS = {"stage": "done", "time_zone": "UTC", "local_date": "2026-11-01", "last_digest_date": "2026-11-01"}
OTHERS = ("procrastinate", "alembic")


def value(table: str, column: Any, n: int) -> Any:
    """Something that fits, different for each row."""
    kind = column.type
    if column.primary_key and isinstance(kind, Integer) and not column.foreign_keys:
        return n
    if column.foreign_keys:
        return n
    if type(kind).__name__ in ("VECTOR", "Vector"):
        return [float(n)] * 384
    if isinstance(kind, Boolean):
        return n % 2 == 0
    if isinstance(kind, DateTime):
        return datetime(2026, 11, n, 7, 30)  # noqa: DTZ001 - as SQLite keeps it
    if isinstance(kind, (Integer, Float, Numeric)):
        return n
    if isinstance(kind, LargeBinary):
        return bytes([n]) * 1536
    if isinstance(kind, JSON):
        return []
    if column.name == "state":
        return {"feed": "active", "subscriber": "active", "outbox": "sent"}.get(table, "active")
    if column.name in WORDS:
        return WORDS[column.name]
    return f"{column.name} {n} ü"[: getattr(kind, "length", None) or 60]


def plain(v: Any) -> Any:
    if isinstance(v, (datetime, date)):
        return v.isoformat()[:19]
    if isinstance(v, memoryview):
        return bytes(v)
    return [float(x) for x in v] if hasattr(v, "tolist") else v


def there(conn: Connection) -> dict[str, Table]:
    """The tables of ours that the database has now."""
    found = MetaData()
    found.reflect(
        conn, only=lambda name, _m: not name.startswith(OTHERS) and "_fts" not in name and "search" not in name
    )
    return {t.name: t for t in found.sorted_tables}


def fill(conn: Connection) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, table in there(conn).items():
        made = [{c.name: value(name, c, n) for c in table.columns if c.computed is None} for n in (1, 2)]
        conn.execute(insert(table), made)
        rows[name] = [{k: plain(v) for k, v in r.items()} for r in made]
    return rows


@contextmanager
def empty(kind: str, folder: Path, server: str | None) -> Iterator[Database]:
    if kind == "sqlite":
        db = Database(f"sqlite:///{folder / 'old.db'}")
        try:
            yield db
        finally:
            db.close()
        return
    assert server is not None
    with postgres.database(server) as url:
        db = Database(url.replace("postgresql://", "postgresql+psycopg://"))
        try:
            yield db
        finally:
            db.close()


def upgrade_to(db: Database, revision: str) -> None:
    config = database._alembic(db.url)
    with db.engine.connect() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, revision)


ON_POSTGRES = [r for r in REVISIONS if r >= "0005"]
"""Before, there was no installation on PostgreSQL."""
SHORT = (ON_POSTGRES[0], ON_POSTGRES[-1])


def case(kind: str, revision: str) -> Any:
    marks = [pytest.mark.postgres] if kind == "postgresql" else []
    return pytest.param(
        kind, revision, marks=[*marks, *([pytest.mark.slow] if marks and revision not in SHORT else [])]
    )


CASES = [case("sqlite", r) for r in REVISIONS] + [case("postgresql", r) for r in ON_POSTGRES]


@pytest.mark.parametrize(("kind", "revision"), CASES)
def test_an_old_installation_loses_nothing(
    kind: str, revision: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    with empty(kind, tmp_path, server) as db:
        upgrade_to(db, revision)
        with db.engine.begin() as conn:
            rows = fill(conn)
        assert len(rows) >= 10
        database.upgrade(db)
        assert database.version(db) == database.head() and database.up_to_date(db)
        with db.engine.begin() as conn:
            for name, before in rows.items():
                table = there(conn).get(name)
                assert table is not None, f"{name} is gone"
                keys = [c for c in table.columns if c.name in before[0]]
                after = [
                    {k: plain(v) for k, v in r._mapping.items()}
                    for r in conn.execute(select(*keys).order_by(*table.primary_key.columns))
                ]
                kept = [{k: v for k, v in r.items() if k in after[0]} for r in before]
                assert after == kept, name
            if "message" in rows["outbox"][0]:
                texts = {r.outbox_id: bytes(r.message) for r in conn.execute(select(outbox_message))}
                assert texts == {r["id"]: r["message"] for r in rows["outbox"]}, "the mails' bytes moved"
            for table in metadata.sorted_tables:
                conn.execute(select(func.count()).select_from(table)).scalar_one()
        if kind == "sqlite":
            with db.engine.begin() as conn:
                assert list(conn.exec_driver_sql("PRAGMA foreign_key_check")) == []


def test_the_newest_schema_is_what_the_code_says(tmp_path: Path) -> None:
    with empty("sqlite", tmp_path, None) as db:
        database.upgrade(db)
        with db.engine.connect() as conn:
            context = MigrationContext.configure(conn, opts={"include_object": _ours})
            assert compare_metadata(context, metadata) == []


def _ours(_object: Any, name: str | None, kind: str, reflected: bool, _compared: Any) -> bool:
    return not (reflected and kind == "table" and name not in metadata.tables)
