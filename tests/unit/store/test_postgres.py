"""PostgreSQL: the schema, vectors as pgvector has them, full text, and one migration at a time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pgvector.sqlalchemy  # noqa: F401 - lets SQLAlchemy read the type from a schema
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from pipeline.errors import ConfigError
from pipeline.settings import Settings
from pipeline.store import database, insights
from pipeline.store.database import Database
from pipeline.store.tables import metadata
from tests import postgres
from tests.conftest import NOW
from tests.fakes.rows import add_insights

pytestmark = pytest.mark.postgres


def test_migrations_and_tables_agree(pg: Database) -> None:
    def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return not (name or "").startswith("procrastinate_")

    with pg.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"include_object": ours, "compare_type": True})
        found = [str(d) for d in compare_metadata(context, metadata)]
    # What only PostgreSQL has is not in the tables: the generated column and the two indexes over it and the vectors.
    assert [d for d in found if not any(n in d for n in ("ix_insight_vector", "_search", "'search'"))] == []


def test_several_processes_migrate_once(postgres_server: str) -> None:
    with postgres.database(postgres_server) as url, ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(database.open_url, [url.replace("postgresql", "postgresql+psycopg", 1)] * 3))
        assert {database.version(db) for db in opened} == {database.head()}
        for db in opened:
            db.close()


def test_a_newer_schema_is_refused(pg: Database, pg_settings: Settings) -> None:
    with pg.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer"):
        database.open_database(pg_settings)


def test_vectors_come_back_and_are_searched(pg: Database) -> None:
    with pg.begin() as conn:
        first, second = add_insights(conn, NOW, ["Queues lie about lateness.", "Bread is baked twice."])
    with pg.begin() as conn:
        vectors = {c.insight.id: c.vector for c in insights.candidates(conn, NOW.replace(year=2020), NOW)}
        wanted = vectors[second]
        assert wanted is not None and wanted.dtype == np.float32 and abs(float(wanted @ wanted) - 1) < 1e-5
        nearest = conn.execute(
            text("SELECT id FROM insight ORDER BY vector <=> CAST(:v AS vector) LIMIT 1"), {"v": str(wanted.tolist())}
        ).scalar()
        hit = conn.execute(text("SELECT id FROM insight WHERE search @@ to_tsquery('simple', 'lateness')")).scalars()
        assert (nearest, list(hit)) == (second, [first])


def test_one_holds_a_lock(pg: Database, pg_settings: Settings) -> None:
    other = database.open_database(pg_settings)
    with pg.alone("clock") as mine, other.alone("clock") as theirs, other.alone("mail") as mail:
        assert (bool(mine), bool(theirs), bool(mail)) == (True, False, True)
        assert mine.lasts() and not theirs.lasts()
    with other.alone("clock") as theirs:
        assert theirs
    other.close()


def test_a_lost_session_loses_its_lock(pg: Database) -> None:
    with pg.alone("clock") as mine:
        with pg.begin() as conn:
            conn.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND datname = current_database()"
                )
            )
        assert not mine.lasts()


def test_an_unreachable_server_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        database.open_url("postgresql+psycopg://nobody@127.0.0.1:1/none")
