"""feeds as people have them: tags, filters, backfill, credentials; chapters, soundbites, twins, the audio budget"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "feed_tag",
        sa.Column("feed_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(["feed_id"], ["feed.id"], name=op.f("fk_feed_tag_feed_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("feed_id", "tag", name=op.f("pk_feed_tag")),
    )
    op.add_column("feed", sa.Column("filters", sa.JSON(), nullable=True))
    op.add_column("feed", sa.Column("backfill", sa.String(length=40), nullable=True))
    op.add_column("feed", sa.Column("credentials", sa.Text(), nullable=True))
    op.add_column("feed", sa.Column("persons", sa.JSON(), nullable=True))
    op.add_column("feed", sa.Column("title_key", sa.String(length=64), nullable=True))
    op.add_column("episode", sa.Column("title_key", sa.String(length=64), nullable=True))
    op.add_column("episode", sa.Column("explicit", sa.Boolean(), nullable=True))
    op.add_column("episode", sa.Column("chapters", sa.JSON(), nullable=True))
    op.add_column("episode", sa.Column("soundbites", sa.JSON(), nullable=True))
    op.add_column("episode", sa.Column("same_as", sa.Integer(), nullable=True))
    op.add_column("episode", sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_episode_same_as", "episode", ["same_as"])
    op.create_index("ix_episode_taken_at", "episode", ["taken_at"])
    op.create_index("ix_episode_title_key", "episode", ["title_key"])
    op.create_index("ix_feed_title_key", "feed", ["title_key"])
    op.create_index("ix_feed_podcast_guid", "feed", ["podcast_guid"])
    if op.get_bind().dialect.name == "postgresql":
        for name in ("enclosure_length", "audio_bytes"):
            op.alter_column("episode", name, type_=sa.BigInteger(), existing_type=sa.Integer())
