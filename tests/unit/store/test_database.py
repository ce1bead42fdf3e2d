"""The schema: migrations give what the tables say, and a newer one is refused."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from pipeline.errors import ConfigError, DatabaseAwayError
from pipeline.settings import Settings
from pipeline.store import database
from pipeline.store.database import Database
from pipeline.store.tables import metadata
from tests.conftest import NOW
from tests.fakes.rows import add_insights


def test_migrations_and_tables_agree(sqlite: Database) -> None:
    with sqlite.engine.connect() as conn:
        found = compare_metadata(MigrationContext.configure(conn), metadata)
    assert [d for d in found if not any(n in str(d) for n in ("insight_fts", "block_fts"))] == []


def test_a_newer_schema_is_refused(sqlite: Database, settings: Settings) -> None:
    with sqlite.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer"):
        database.open_database(settings)


def test_sqlite_is_set_up(sqlite: Database) -> None:
    with sqlite.begin() as conn:
        said = [conn.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "foreign_keys", "busy_timeout")]
    assert said == ["wal", 1, 10000]


def test_full_text_follows_the_insights(sqlite: Database) -> None:
    with sqlite.begin() as conn:
        add_insights(conn, NOW, ["Queues lie about lateness."])
        hit = "SELECT count(*) FROM insight_fts WHERE insight_fts MATCH 'lateness'"
        assert conn.exec_driver_sql(hit).scalar() == 1
        conn.exec_driver_sql("DELETE FROM insight")
        assert conn.exec_driver_sql(hit).scalar() == 0


def test_naive_times_are_refused(sqlite: Database) -> None:
    with pytest.raises(Exception, match="naive time"), sqlite.begin() as conn:
        add_insights(conn, NOW.replace(tzinfo=None), ["x"])


def test_a_statement_at_fault_is_no_outage(db: Database) -> None:
    with pytest.raises(DBAPIError), db.begin() as conn:
        conn.execute(text("SELECT * FROM no_such_table"))


def test_a_locked_database_is_one(sqlite: Database) -> None:
    with sqlite.begin() as conn:
        conn.exec_driver_sql("PRAGMA busy_timeout=50")
        other = sqlite3.connect(make_url(sqlite.url).database or "", timeout=0.05)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    held = sqlite3.connect(make_url(sqlite.url).database or "", isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(DatabaseAwayError, match="did not answer"), sqlite.begin() as conn:
            conn.exec_driver_sql("SELECT 1")
    finally:
        held.close()
