"""Feeds, episodes, transcripts."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from pipeline.store.columns import BYTES, UtcDateTime, metadata, new_id

feed = Table(
    "feed",
    metadata,
    new_id(),
    Column("url", Text, nullable=False, unique=True),
    Column("title", Text),
    Column("language", String(40)),
    Column("link", Text),
    Column("image_url", Text),
    Column("podcast_guid", String(100), index=True),
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
    Column("new_feed_url", Text),  # what the document itself says
    Column("bad_sha256", String(100)),  # the document that ended its parser; not read again by this version
    Column("filters", JSON(none_as_null=True)),
    Column("backfill", String(40)),  # none, last:N or since:DATE; unset is none
    Column("credentials", Text),  # sealed by secretbox
    Column("persons", JSON(none_as_null=True)),
    Column("title_key", String(64), index=True),  # for finding twins
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
    new_id(),
    Column("feed_id", ForeignKey("feed.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("status", Integer),
    Column("bytes", Integer),
    Column("seconds", Float),
    Column("new", Integer, nullable=False, default=0),
    Column("changed", Integer, nullable=False, default=0),
    Column("why", Text, nullable=False),
    Index("ix_feed_poll_at", "at"),
)

host_hold = Table(
    "host_hold",
    metadata,
    Column("host", Text, primary_key=True),
    Column("until", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
)

episode = Table(
    "episode",
    metadata,
    new_id(),
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
    Column("enclosure_length", BYTES),
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
    Column("audio_bytes", BYTES),
    Column("audio_s", Float),
    Column("explicit", Boolean),
    Column("chapters", JSON(none_as_null=True)),
    Column("soundbites", JSON(none_as_null=True)),
    Column("title_key", String(64), index=True),  # for finding twins
    Column("same_as", Integer, index=True),  # the episode this one repeats; its reason stands in `error`
    Column("taken_at", UtcDateTime, index=True),  # when the daily budget of audio hours let it go on
    UniqueConstraint("feed_id", "key"),
    Index("ix_episode_rhythm", "feed_id", "published"),
    Index("ix_episode_waiting", "stage", "retry_at"),
    Index("ix_episode_candidates", "stage", "published"),
)

transcript = Table(
    "transcript",
    metadata,
    new_id(),
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
    Column("confidence", Float),
    Column("poor", Text),  # why nothing is quoted from it
    Column("windows", LargeBinary),  # transcript.repeat's, of the last episodes of a show only
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
    Column("reason", Text),  # why it is marked
)

# Runs of sentences that search looks through; sponsor reads are in none.
block = Table(
    "block",
    metadata,
    new_id(),
    Column("transcript_id", ForeignKey("transcript.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("text", Text, nullable=False),
)

# How long each stage took of each episode, whether or not it got through: what the operator's figures are made of.
stage_run = Table(
    "stage_run",
    metadata,
    new_id(),
    Column("episode_id", ForeignKey("episode.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("stage", String(20), nullable=False),
    Column("at", UtcDateTime, nullable=False),  # when it ended
    Column("seconds", Float, nullable=False),
    Column("outcome", String(20), nullable=False),  # done, retry, waits, failed, stale
    Column("audio_s", Float),  # what it worked through, where that was audio
    Column("gpu", Boolean, nullable=False, default=False),  # whether a GPU worked on it
    Column("host", Text),
    Index("ix_stage_run_at", "at"),
)
