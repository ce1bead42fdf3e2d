"""Opening the database, its transactions, and its schema's version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from pipeline.errors import ConfigError, TransientError
from pipeline.resources import resource
from pipeline.settings import Settings


class Database:
    """An engine with short transactions. On SQLite each begins IMMEDIATE: a reader that turns writer cannot fail."""

    def __init__(self, url: str):
        self.url = url
        options: dict[str, Any] = {} if url.startswith("sqlite") else {"pool_pre_ping": True}
        self.engine: Engine = create_engine(url, **options)
        if url.startswith("sqlite"):
            event.listen(self.engine, "connect", _sqlite_connect)
            event.listen(self.engine, "begin", _sqlite_begin)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that commits at the end and rolls back on an error."""
        try:
            with self.engine.begin() as conn:
                yield conn
        except OperationalError as e:
            raise TransientError(
                "The database did not answer", why=str(e.orig), hint="podsift doctor says what is wrong with it"
            ) from e

    def close(self) -> None:
        self.engine.dispose()


def _sqlite_connect(dbapi: sqlite3.Connection, _record: object) -> None:
    dbapi.isolation_level = None  # we begin transactions ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        dbapi.execute(f"PRAGMA {pragma}")


def _sqlite_begin(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def _alembic(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resource("migrations")).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def head() -> str:
    """The newest revision this code knows."""
    found = ScriptDirectory.from_config(_alembic("")).get_current_head()
    assert found is not None
    return found


def version(db: Database) -> str | None:
    """The revision the database has, None when it is empty."""
    with db.engine.connect() as conn:
        return MigrationContext.configure(conn).get_current_revision()


def upgrade(db: Database) -> None:
    """Bring the schema up to date. Refuses one that is newer than the code."""
    require_known(db)
    config = _alembic(db.url)
    with db.engine.connect() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "head")


def require_known(db: Database) -> None:
    """Raise ConfigError when the database was made by a newer podsift."""
    at = version(db)
    known = {script.revision for script in ScriptDirectory.from_config(_alembic(db.url)).walk_revisions()}
    if at is not None and at not in known:
        raise ConfigError(
            f"The database's schema ({at}) is newer than this podsift ({head()})",
            why="it was opened by a later version",
            hint="install that version again, or restore a backup made before the upgrade",
        )


def open_database(settings: Settings) -> Database:
    """Open the configured database with its schema up to date."""
    if settings.on_postgres:
        raise ConfigError(
            "PostgreSQL is not supported yet",
            why="this version's engine and locks work on SQLite alone",
            hint="unset database.url (PODSIFT_DATABASE_URL)",
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Database(settings.database_url)
    try:
        require_known(db)
        if version(db) != head():
            upgrade(db)
    except OperationalError as e:
        db.close()
        raise ConfigError(
            "The database cannot be opened", why=str(e.orig), hint="check data_dir or PODSIFT_DATABASE_URL"
        ) from e
    return db
