"""links between insights, and why a digest has what it has"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "insight_link",
        sa.Column("newer_id", sa.Integer(), nullable=False),
        sa.Column("earlier_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed", sa.Text(), nullable=True),
        sa.Column("cosine", sa.Float(), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["newer_id"], ["insight.id"], name=op.f("fk_insight_link_newer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["earlier_id"], ["insight.id"], name=op.f("fk_insight_link_earlier_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("newer_id", "earlier_id", name=op.f("pk_insight_link")),
    )
    op.add_column("digest", sa.Column("explanation", sa.JSON(), nullable=True))
    op.create_index("ix_insight_link_earlier_id", "insight_link", ["earlier_id"])
