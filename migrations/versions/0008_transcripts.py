"""transcripts: why a sentence is marked, how sure the recogniser was, what is too poor to quote, what shows repeat"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("sentence", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("transcript", sa.Column("confidence", sa.Float(), nullable=True))
    op.add_column("transcript", sa.Column("poor", sa.Text(), nullable=True))
    op.add_column("transcript", sa.Column("windows", sa.LargeBinary(), nullable=True))
