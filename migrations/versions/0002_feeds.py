"""polling: a feed's own word on its new address, hosts that asked to be left alone, indexes for the log and rhythms"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("feed", sa.Column("new_feed_url", sa.Text(), nullable=True))
    op.add_column("feed", sa.Column("bad_sha256", sa.String(length=100), nullable=True))
    op.create_table(
        "host_hold",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_host_hold")),
    )
    # How often a feed publishes is counted for each feed that is due.
    op.create_index("ix_episode_rhythm", "episode", ["feed_id", "published"])
    op.create_index("ix_feed_poll_at", "feed_poll", ["at"])
