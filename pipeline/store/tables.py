"""The tables, as SQLAlchemy Core metadata for SQLite and PostgreSQL alike; migrations/ creates them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
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
        return value if value is None or dialect.name != "postgresql" else np.frombuffer(value, "<f4")

    def process_result_value(self, value: Any, dialect: Any) -> bytes | None:
        return value if value is None or dialect.name != "postgresql" else np.asarray(value, "<f4").tobytes()


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


feed = Table(
    "feed",
    metadata,
    _id(),
    Column("url", Text, nullable=False, unique=True),
    Column("title", Text),
    Column("language", String(40)),
    Column("link", Text),
    Column("image_url", Text),
    Column("podcast_guid", String(100)),
    Column("state", String(20), nullable=False),  # active, paused, gone
    Column("etag", Text),
    Column("last_modified", Text),
    Column("body_sha256", String(64)),
    Column("last_full_at", UtcDateTime),
    Column("last_poll_at", UtcDateTime),
    Column("last_ok_at", UtcDateTime),
    Column("next_poll_at", UtcDateTime),
    Column("error", Text),
    Column("error_count", Integer, nullable=False, default=0),
    Column("ttl_minutes", Integer),
    Column("moved_url", Text),
    Column("moved_since", UtcDateTime),
    Column("added_at", UtcDateTime, nullable=False),
    Column("filters", JSON(none_as_null=True)),
    Column("backfill", String(40)),  # none, last:N or since:DATE; unset is none
    Column("credentials", Text),  # sealed by secretbox
    Column("persons", JSON(none_as_null=True)),
    Index("ix_feed_due", "state", "next_poll_at"),
)

feed_tag = Table(
    "feed_tag",
    metadata,
    Column("feed_id", ForeignKey("feed.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(60), primary_key=True),
)

feed_poll = Table(
    "feed_poll",
    metadata,
    _id(),
    Column("feed_id", ForeignKey("feed.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("status", Integer),
    Column("bytes", Integer),
    Column("seconds", Float),
    Column("new", Integer, nullable=False, default=0),
    Column("changed", Integer, nullable=False, default=0),
    Column("why", Text, nullable=False),
)

episode = Table(
    "episode",
    metadata,
    _id(),
    Column("feed_id", ForeignKey("feed.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("guid", Text),
    Column("title", Text),
    Column("published", UtcDateTime),
    Column("duration_s", Float),
    Column("link", Text),
    Column("description", Text),
    Column("enclosure_url", Text, nullable=False),
    Column("enclosure_type", Text),
    Column("enclosure_length", Integer),
    Column("image_url", Text),
    Column("chapters_url", Text),
    Column("transcripts", JSON, nullable=False),
    Column("persons", JSON, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("retry_at", UtcDateTime),
    Column("error", Text),
    Column("backfill", Boolean, nullable=False, default=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("audio_path", Text),
    Column("audio_sha256", String(64)),
    Column("audio_bytes", Integer),
    Column("audio_s", Float),
    Column("explicit", Boolean),
    Column("chapters", JSON(none_as_null=True)),
    Column("soundbites", JSON(none_as_null=True)),
    Column("same_as", Integer, index=True),  # the episode this one repeats; its reason stands in `error`
    Column("taken_at", UtcDateTime, index=True),  # when the daily budget of audio hours let it go on
    UniqueConstraint("feed_id", "key"),
    Index("ix_episode_published", "published"),
    Index("ix_episode_waiting", "stage", "retry_at"),
)

transcript = Table(
    "transcript",
    metadata,
    _id(),
    Column("episode_id", ForeignKey("episode.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("source", String(20), nullable=False),
    Column("model", Text),
    Column("language", String(40)),
    Column("duration_s", Float, nullable=False),
    Column("audio_sha256", String(64)),
    Column("missing_speech_s", Float, nullable=False),
    Column("redone_s", Float, nullable=False),
    Column("quality", JSON, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
)

sentence = Table(
    "sentence",
    metadata,
    Column("transcript_id", ForeignKey("transcript.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("start", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("text", Text, nullable=False),
    Column("speaker", Text),
    Column("mark", String(20)),
)

insight = Table(
    "insight",
    metadata,
    _id(),
    Column("episode_id", ForeignKey("episode.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_key", String(64), nullable=False, index=True),
    Column("quote", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("start_s", Float, nullable=False),
    Column("end_s", Float, nullable=False),
    Column("speaker", Text),
    Column("score", Float, nullable=False),
    Column("topics", JSON, nullable=False),
    Column("writer", String(20), nullable=False),
    Column("model", Text),
    Column("revision", Text),
    Column("quantisation", Text),
    Column("prompt_version", Text),
    Column("vector", Embedding),
    Column("made_at", UtcDateTime, nullable=False, index=True),
)

insight_drop = Table(
    "insight_drop",
    metadata,
    _id(),
    Column("episode_id", ForeignKey("episode.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

subscriber = Table(
    "subscriber",
    metadata,
    _id(),
    Column("email", Text, nullable=False, unique=True),
    Column("state", String(20), nullable=False),  # active, removed
    Column("time_zone", String(60), nullable=False),
    Column("hour", Integer, nullable=False),
    Column("minute", Integer, nullable=False, default=0),
    Column("count", Integer, nullable=False, default=5),
    Column("nonce", String(40), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_digest_at", UtcDateTime, index=True),
    Column("last_digest_date", String(10)),
)

digest = Table(
    "digest",
    metadata,
    _id(),
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE"), nullable=False),
    Column("local_date", String(10), nullable=False),
    Column("built_at", UtcDateTime, nullable=False),
    Column("subject", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("considered", Integer, nullable=False),
    Column("thin_reason", Text),
    UniqueConstraint("subscriber_id", "local_date"),
)

digest_item = Table(
    "digest_item",
    metadata,
    Column("digest_id", ForeignKey("digest.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("insight_id", ForeignKey("insight.id"), nullable=False, index=True),
    Column("kind", String(20), nullable=False),
    Column("reason", Text),
)

# What a subscriber has had. Stands apart from digest_item so that it outlives the pruning of digests.
ledger = Table(
    "ledger",
    metadata,
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True),
    Column("insight_id", Integer, primary_key=True),
    Column("text_key", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("vector", Embedding),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("subscriber_id", "text_key"),
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("digest_id", ForeignKey("digest.id", ondelete="CASCADE"), nullable=False),
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE"), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("reply", Text),
    Column("changed_at", UtcDateTime, nullable=False),
    UniqueConstraint("digest_id", "subscriber_id"),
    Index("ix_outbox_due", "state", "next_at"),
)
