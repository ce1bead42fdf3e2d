"""The tables, as SQLAlchemy Core metadata for SQLite and PostgreSQL alike; migrations/ creates them."""

from pipeline.store.columns import DIMENSIONS, Embedding, UtcDateTime, metadata
from pipeline.store.tables_ideas import (
    batch_question,
    insight,
    insight_drop,
    insight_link,
    insight_match,
    llm_call,
)
from pipeline.store.tables_people import (
    bounce,
    digest,
    digest_item,
    feedback,
    ledger,
    mail_hold,
    outbox,
    subscriber,
    suppression,
)
from pipeline.store.tables_shows import (
    block,
    episode,
    feed,
    feed_poll,
    feed_tag,
    host_hold,
    sentence,
    stage_run,
    transcript,
)

__all__ = [
    "DIMENSIONS",
    "Embedding",
    "UtcDateTime",
    "batch_question",
    "block",
    "bounce",
    "digest",
    "digest_item",
    "episode",
    "feed",
    "feed_poll",
    "feed_tag",
    "feedback",
    "host_hold",
    "insight",
    "insight_drop",
    "insight_link",
    "insight_match",
    "ledger",
    "llm_call",
    "mail_hold",
    "metadata",
    "outbox",
    "sentence",
    "stage_run",
    "subscriber",
    "suppression",
    "transcript",
]
