"""a mail's bytes in a table of their own: SQLite writes a row anew as a whole, and a mail's row changes three times"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "outbox_message",
        sa.Column("outbox_id", sa.Integer(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["outbox_id"], ["outbox.id"], name=op.f("fk_outbox_message_outbox_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_outbox_message")),
    )
    op.execute("INSERT INTO outbox_message (outbox_id, message) SELECT id, message FROM outbox")
    # Not as a batch, which makes the table anew: dropping the old one would delete what refers to it.
    op.drop_column("outbox", "message")
