"""Subscribers, their digests, and the mails."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)

from pipeline.store.columns import Embedding, UtcDateTime, metadata, new_id

subscriber = Table(
    "subscriber",
    metadata,
    new_id(),
    Column("email", Text, nullable=False, unique=True),
    Column("state", String(20), nullable=False),  # store.subscribers tells the states
    Column("time_zone", String(60), nullable=False),
    Column("hour", Integer, nullable=False),
    Column("minute", Integer, nullable=False, default=0),
    Column("count", Integer, nullable=False, default=5),
    Column("nonce", String(40), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_digest_at", UtcDateTime, index=True),
    Column("last_digest_date", String(10)),
    Column("days", JSON(none_as_null=True)),  # ISO weekdays, 1 is Monday; unset is every day
    Column("wanted_topics", JSON(none_as_null=True)),
    Column("muted_topics", JSON(none_as_null=True)),
    Column("wanted_shows", JSON(none_as_null=True)),
    Column("muted_shows", JSON(none_as_null=True)),
    Column("consent", JSON(none_as_null=True)),  # how and when the address came, and how it was confirmed
    Column("paused_until", UtcDateTime),
    Column("confirmed_at", UtcDateTime),
    Column("by_mail", Boolean, nullable=False, default=True, server_default=true()),  # False: by channels alone
)

digest = Table(
    "digest",
    metadata,
    new_id(),
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE"), nullable=False),
    Column("local_date", String(10), nullable=False),
    Column("built_at", UtcDateTime, nullable=False),
    Column("subject", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("considered", Integer, nullable=False),
    Column("thin_reason", Text),
    Column("explanation", JSON),
    UniqueConstraint("subscriber_id", "local_date"),
    Index("ix_digest_local_date", "local_date"),
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
    Index("ix_ledger_keys", "subscriber_id", "insight_id", "text_key"),  # read without the rows, 2 kB each
)

# What a subscriber said of an insight; the insight itself may be gone by now.
feedback = Table(
    "feedback",
    metadata,
    new_id(),
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE"), nullable=False),
    Column("insight_id", Integer, nullable=False),
    Column("verdict", String(10), nullable=False),  # more, less, wrong
    Column("at", UtcDateTime, nullable=False, index=True),
    UniqueConstraint("subscriber_id", "insight_id"),
)

outbox = Table(
    "outbox",
    metadata,
    new_id(),
    Column("digest_id", ForeignKey("digest.id", ondelete="CASCADE")),  # a confirm mail has none
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE"), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("reply", Text),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("kind", String(20), nullable=False, server_default="digest"),  # digest, confirm
    Column("domain", Text, nullable=False, server_default=""),
    Column("owner", String(40)),  # the sender that holds the lease
    UniqueConstraint("digest_id", "subscriber_id"),
    Index("ix_outbox_due", "state", "next_at"),
)

# Apart from its row, which changes three times on a mail's way: SQLite writes a row anew as a whole.
outbox_message = Table(
    "outbox_message",
    metadata,
    Column("outbox_id", ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True),
    Column("message", LargeBinary, nullable=False),
)

bounce = Table(
    "bounce",
    metadata,
    new_id(),
    Column("outbox_id", ForeignKey("outbox.id", ondelete="CASCADE")),
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE")),
    Column("kind", String(20), nullable=False),
    Column("status", String(20)),
    Column("detail", Text, nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_bounce_subscriber_id", "subscriber_id", "at"),
)

# No address, only its keyed hash; so it can outlive the person's row.
suppression = Table(
    "suppression",
    metadata,
    Column("hash", String(90), primary_key=True),
    Column("reason", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

mail_hold = Table(
    "mail_hold",
    metadata,
    Column("server", Text, primary_key=True),
    Column("until", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
    Column("strikes", Integer, nullable=False),
)

# Another way out for a subscriber's digests: a webhook, a chat, a folder. Its secrets are sealed.
channel = Table(
    "channel",
    metadata,
    new_id(),
    Column("subscriber_id", ForeignKey("subscriber.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(20), nullable=False),  # webhook, chat, folder
    Column("name", Text, nullable=False, unique=True),
    Column("sealed", Text, nullable=False),
    Column("shown", Text, nullable=False),  # the address without its secrets
    Column("state", String(20), nullable=False),  # active, paused
    Column("why", Text),
    Column("created_at", UtcDateTime, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    new_id(),
    Column("digest_id", ForeignKey("digest.id", ondelete="CASCADE"), nullable=False),
    Column("channel_id", ForeignKey("channel.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("key", String(80), nullable=False),  # the same however often it is posted
    Column("body", Text, nullable=False),
    Column("state", String(20), nullable=False),  # store.channels tells the states
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("reply", Text),
    Column("changed_at", UtcDateTime, nullable=False),
    UniqueConstraint("digest_id", "channel_id"),
    Index("ix_delivery_due", "state", "next_at"),
)
