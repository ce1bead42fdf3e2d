"""what only PostgreSQL has: pgvector, full text, the job queue's tables"""

from alembic import op

from pipeline.engine.schema import queue_schema

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    # No PostgreSQL database is older than this revision, so the columns are empty.
    for table in ("insight", "ledger"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN vector TYPE vector(384) USING NULL")
    op.execute("CREATE INDEX ix_insight_vector ON insight USING hnsw (vector vector_cosine_ops)")
    op.execute(
        "ALTER TABLE insight ADD COLUMN search tsvector GENERATED ALWAYS AS "
        "(to_tsvector('simple', title || ' ' || text || ' ' || quote)) STORED"
    )
    op.execute("CREATE INDEX ix_insight_search ON insight USING gin (search)")
    # Many statements in one string, which only the driver's own simple protocol takes.
    bind.connection.driver_connection.execute(queue_schema())
