"""The job queue's own tables, for the migrations."""

from __future__ import annotations

from pipeline.errors import ConfigError


def queue_schema() -> str:
    """Procrastinate's SQL. Raises ConfigError when the `postgres` extra is not installed."""
    try:
        from pipeline.engine.queue import schema_sql
    except ImportError as e:
        raise ConfigError(
            "PostgreSQL needs packages that are not installed", why=str(e), hint="pip install 'podsift[postgres]'"
        ) from e
    return schema_sql()
