"""Insights, their links, and what finding them cost."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
)

from pipeline.store.columns import Embedding, UtcDateTime, metadata, new_id

insight = Table(
    "insight",
    metadata,
    new_id(),
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

insight_link = Table(
    "insight_link",
    metadata,
    Column("newer_id", ForeignKey("insight.id", ondelete="CASCADE"), primary_key=True),
    Column("earlier_id", ForeignKey("insight.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("kind", String(20), nullable=False),  # a key of insight.judge.KINDS
    Column("reason", Text, nullable=False),
    Column("changed", Text),
    Column("cosine", Float, nullable=False),
    Column("judge", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

insight_drop = Table(
    "insight_drop",
    metadata,
    new_id(),
    Column("episode_id", ForeignKey("episode.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

llm_call = Table(
    "llm_call",
    metadata,
    new_id(),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("model", Text, nullable=False),
    Column("revision", Text),
    Column("purpose", String(40), nullable=False),
    Column("prompt_version", Text),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("seconds", Float, nullable=False),
    Column("outcome", String(20), nullable=False),
)

# What a batch is to answer about an episode; gone once the episode's insights are made of it.
batch_question = Table(
    "batch_question",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("episode_id", ForeignKey("episode.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("status", Integer),
    Column("answer", JSON(none_as_null=True)),
)

# How likely a model finds the first insight better than the second: each pair once, asked in both orders.
insight_match = Table(
    "insight_match",
    metadata,
    Column("one_id", ForeignKey("insight.id", ondelete="CASCADE"), primary_key=True),
    Column("other_id", ForeignKey("insight.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("chance", Float, nullable=False),
    Column("judge", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
