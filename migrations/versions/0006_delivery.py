"""delivery: what subscribers want, mails without a digest, bounces, addresses that get nothing, servers that rest"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("days", "wanted_topics", "muted_topics", "wanted_shows", "muted_shows", "consent"):
        op.add_column("subscriber", sa.Column(name, sa.JSON(), nullable=True))
    op.add_column("subscriber", sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("subscriber", sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("outbox") as batch:
        batch.alter_column("digest_id", existing_type=sa.Integer(), nullable=True)
        batch.add_column(sa.Column("kind", sa.String(length=20), server_default="digest", nullable=False))
        batch.add_column(sa.Column("domain", sa.Text(), server_default="", nullable=False))
        batch.add_column(sa.Column("owner", sa.String(length=40), nullable=True))

    op.create_table(
        "bounce",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("outbox_id", sa.Integer(), nullable=True),
        sa.Column("subscriber_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_bounce_outbox_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_bounce_subscriber_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounce")),
        sa.UniqueConstraint("sha256", name=op.f("uq_bounce_sha256")),
    )
    op.create_index("ix_bounce_subscriber_id", "bounce", ["subscriber_id", "at"])
    op.create_table(
        "suppression",
        sa.Column("hash", sa.String(length=90), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_suppression")),
    )
    op.create_table(
        "mail_hold",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("server", name=op.f("pk_mail_hold")),
    )
