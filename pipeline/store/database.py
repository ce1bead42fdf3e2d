"""Opening the database, its transactions, its locks, and its schema's version."""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, NoSuchModuleError, OperationalError, ProgrammingError

from pipeline.errors import ConfigError, DatabaseAwayError
from pipeline.resources import resource
from pipeline.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is imported where the schema is really changed: it takes 20 MB and 0.2 s, and most starts find it up to date.

WAKER = "podsift_waker"
"""Execution option of a connection: a function that is told, inside the transaction, which episodes wait now."""

READS = "podsift_reads"
"""Execution option of a connection that only reads: on SQLite it waits for no writer, and none waits for it."""


class Hold:
    """What `Database.alone` gives: true when the lock is ours."""

    def __init__(self, mine: bool, session: Connection | None = None):
        self._mine = mine
        self._session = session

    def __bool__(self) -> bool:
        return self._mine

    def lasts(self) -> bool:
        """Whether the lock's session is alive still. Without it somebody else may hold the lock by now."""
        if self._session is None:
            return self._mine
        try:
            self._session.execute(text("SELECT 1"))
        except (OperationalError, InterfaceError):
            return False
        return self._mine


def lock_key(name: str) -> int:
    """The number of an advisory lock."""
    return zlib.crc32(f"podsift {name}".encode())


class Database:
    """An engine with short transactions. On SQLite each begins IMMEDIATE: a reader that turns writer cannot fail."""

    def __init__(self, url: str):
        self.url = url
        try:
            self.engine: Engine = create_engine(url, **_options(url))
        except (ImportError, NoSuchModuleError) as e:
            raise ConfigError(
                "PostgreSQL's driver is not installed", why=str(e), hint="pip install 'podsift[postgres]'"
            ) from e
        self.on_postgres = self.engine.dialect.name == "postgresql"
        if not self.on_postgres:
            event.listen(self.engine, "connect", _sqlite_connect)
            event.listen(self.engine, "begin", _sqlite_begin)
        else:
            event.listen(self.engine, "connect", _postgres_connect)
            from pipeline.engine.queue import wake

            self.engine = self.engine.execution_options(**{WAKER: wake})

    @property
    def conninfo(self) -> str:
        """What libpq takes, with the password."""
        return make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)

    @contextmanager
    def begin(self, *, reads: bool = False, snapshot: bool = False) -> Iterator[Connection]:
        """A transaction that commits at the end and rolls back on an error; `reads` when it writes nothing.

        With `snapshot` it writes nothing, and all that it reads is as of one moment (on SQLite any transaction is so).
        """
        engine = self.engine.execution_options(**{READS: True}) if reads or snapshot else self.engine
        if snapshot and self.on_postgres:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            with engine.begin() as conn:
                yield conn
        except (OperationalError, InterfaceError) as e:
            if not _is_away(e):
                raise
            raise DatabaseAwayError(
                "The database did not answer", why=str(e.orig), hint="podsift doctor says what is wrong with it"
            ) from e

    @contextmanager
    def alone(self, name: str) -> Iterator[Hold]:
        """Whether this process is the only one that does `name`, for as long as the block lasts.

        PostgreSQL keeps such a lock for each session, so it ends with its process. On SQLite the folder's lock has
        made sure of it before.
        """
        if not self.on_postgres:
            yield Hold(True)
            return
        key = {"key": lock_key(name)}
        try:
            session = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            mine = bool(session.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar())
        except (OperationalError, InterfaceError) as e:
            raise DatabaseAwayError("The database did not answer", why=str(e.orig)) from e
        with session as conn:
            try:
                yield Hold(mine, conn)
            finally:
                if mine and not conn.invalidated:
                    with suppress(OperationalError, InterfaceError):  # a session that is lost has let go already
                        conn.execute(text("SELECT pg_advisory_unlock(:key)"), key)

    @contextmanager
    def present(self, name: str) -> Iterator[None]:
        """Counted among those that do `name` or stand by (`health.sharing`). On PostgreSQL alone."""
        key = {"key": lock_key(f"{name} present")}
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                conn.execute(text("SELECT pg_advisory_lock_shared(:key)"), key)
                try:
                    yield
                finally:
                    if not conn.invalidated:
                        with suppress(OperationalError, InterfaceError):
                            conn.execute(text("SELECT pg_advisory_unlock_shared(:key)"), key)
        except (OperationalError, InterfaceError) as e:
            raise DatabaseAwayError("The database did not answer", why=str(e.orig)) from e

    def close(self) -> None:
        self.engine.dispose()


def _is_away(e: DBAPIError) -> bool:
    """Whether the database is at fault, not the statement: a row that it cannot take must not look like an outage."""
    if e.connection_invalidated or isinstance(e, InterfaceError):
        return True
    state = getattr(e.orig, "sqlstate", None)
    if state is not None:
        # Connection, resources, operator intervention, system error; a deadlock or a serialisation failure.
        return state[:2] in ("08", "53", "57", "58", "40") or state == "55P03"
    code = getattr(e.orig, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _SQLITE_AWAY


_SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
}


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {}
    # A stage in flight holds a connection for its lock and takes another one to write.
    return {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 30, "connect_args": {"connect_timeout": 10}}


def _sqlite_connect(dbapi: sqlite3.Connection, _record: object) -> None:
    dbapi.isolation_level = None  # we begin transactions ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        dbapi.execute(f"PRAGMA {pragma}")


def _sqlite_begin(conn: Connection) -> None:
    conn.exec_driver_sql("BEGIN" if conn.get_execution_options().get(READS) else "BEGIN IMMEDIATE")


def _postgres_connect(dbapi: Any, _record: object) -> None:
    # Nothing of ours waits for long inside a transaction, so one that does is stuck and must not hold others up.
    for setting in ("idle_in_transaction_session_timeout = '10min'", "lock_timeout = '60s'"):
        dbapi.execute(f"SET {setting}")
    dbapi.commit()


def _alembic(url: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resource("migrations")).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def head() -> str:
    """The newest revision this code knows."""
    from alembic.script import ScriptDirectory

    found = ScriptDirectory.from_config(_alembic("")).get_current_head()
    assert found is not None
    return found


def version(db: Database) -> str | None:
    """The revision the database has, None when it is empty."""
    from alembic.runtime.migration import MigrationContext

    with db.engine.connect() as conn:
        return MigrationContext.configure(conn).get_current_revision()


def upgrade(db: Database) -> None:
    """Bring the schema up to date. Refuses one that is newer than the code. Only one process does it at a time."""
    from alembic import command

    require_known(db)
    config = _alembic(db.url)
    with db.engine.connect() as conn:
        if db.on_postgres:
            # Held until the connection is closed; whoever waited here finds nothing left to do.
            conn.execute(text("SELECT pg_advisory_lock(:key)"), {"key": zlib.crc32(b"podsift upgrade")})
            conn.commit()
        try:
            config.attributes["connection"] = conn
            command.upgrade(config, "head")
        finally:
            if db.on_postgres:
                conn.rollback()
                conn.execute(text("SELECT pg_advisory_unlock_all()"))
                conn.commit()


def up_to_date(db: Database) -> bool:
    """Whether the schema is this code's."""
    newest = _newest()
    with db.engine.connect() as conn:
        try:
            return conn.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [newest]
        except (OperationalError, ProgrammingError):
            return False  # an empty database, or one that does not answer, which the next question finds out


@lru_cache(maxsize=1)
def _newest() -> str:
    """What `head` says, from the migrations' text: the revision that no other one comes after."""
    texts = [p.read_text("utf-8") for p in (resource("migrations") / "versions").glob("*.py")]
    before = {m[1] for t in texts if (m := re.search(r'^down_revision[^=\n]*= *"(\w+)"', t, re.MULTILINE))}
    every = {m[1] for t in texts if (m := re.search(r'^revision[^=\n]*= *"(\w+)"', t, re.MULTILINE))}
    (newest,) = every - before
    return newest


def require_known(db: Database) -> None:
    """Raise ConfigError when the database was made by a newer podsift."""
    from alembic.script import ScriptDirectory

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
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return open_url(settings.database_url)


def open_url(url: str) -> Database:
    """Open a database by its SQLAlchemy URL, with its schema up to date. Raises ConfigError."""
    db = Database(url)
    try:
        if not up_to_date(db):
            require_known(db)
            if version(db) != head():
                upgrade(db)
    except (OperationalError, InterfaceError) as e:
        db.close()
        raise ConfigError(
            "The database cannot be opened", why=str(e.orig).strip(), hint="check data_dir or PODSIFT_DATABASE_URL"
        ) from e
    except ProgrammingError as e:
        db.close()
        raise ConfigError(
            "The database's schema cannot be brought up to date",
            why=str(e.orig).strip(),
            hint="PostgreSQL needs the pgvector extension, and a user who may create tables",
        ) from e
    except DBAPIError as e:
        db.close()
        raise ConfigError("The database cannot be used", why=str(e.orig).strip()) from e
    except BaseException:
        db.close()
        raise
    return db
