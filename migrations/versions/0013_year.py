"""indexes for what grows for years: a digest's candidates among all episodes, and the keys of what a reader has had"""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("ix_episode_candidates", "episode", ["stage", "published"])
    op.create_index("ix_ledger_keys", "ledger", ["subscriber_id", "insight_id", "text_key"])
