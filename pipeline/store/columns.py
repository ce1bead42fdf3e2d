"""What the tables are made of: naming, and the column types of our own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    TypeDecorator,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out. SQLite keeps no zone, so a naive time is refused instead of guessed."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time {value!r}; times are aware UTC")
        at = value.astimezone(UTC)
        return at.replace(tzinfo=None) if dialect.name == "sqlite" else at

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


DIMENSIONS = 384


class Embedding(TypeDecorator[bytes]):
    """DIMENSIONS float32 values, little endian, as bytes; pgvector's type on PostgreSQL."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(LargeBinary())
        from pgvector.sqlalchemy import VECTOR

        return dialect.type_descriptor(VECTOR(DIMENSIONS))

    def process_bind_param(self, value: bytes | None, dialect: Any) -> Any:
        if value is None or dialect.name != "postgresql":
            return value
        import numpy as np  # polling, which has nothing to do with vectors, stays 13 MB smaller

        return np.frombuffer(value, "<f4")

    def process_result_value(self, value: Any, dialect: Any) -> bytes | None:
        if value is None or dialect.name != "postgresql":
            stored: bytes | None = value
            return stored
        import numpy as np

        packed: bytes = np.asarray(value, "<f4").tobytes()
        return packed


BYTES = BigInteger().with_variant(Integer(), "sqlite")
"""A feed may state any length, and PostgreSQL's INTEGER ends at 2 GB."""


def new_id() -> Column[int]:
    """The primary key of a table."""
    return Column("id", Integer, primary_key=True)
