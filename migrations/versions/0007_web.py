"""the web pages: readers' feedback, full text over transcripts, one folding of letters in both databases"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("insight_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_feedback_subscriber_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("subscriber_id", "insight_id", name=op.f("uq_feedback_subscriber_id")),
    )
    op.create_index("ix_feedback_at", "feedback", ["at"])
    op.create_table(
        "block",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transcript_id", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transcript_id"], ["transcript.id"], name=op.f("fk_block_transcript_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block")),
    )
    op.create_index("ix_block_transcript_id", "block", ["transcript_id"])
    op.create_index("ix_digest_local_date", "digest", ["local_date"])
    if op.get_bind().dialect.name == "sqlite":
        _sqlite()
    else:
        _postgres()


def _sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE block_fts USING fts5"
        "(text, content='block', content_rowid='id', tokenize='unicode61 remove_diacritics 2')"
    )
    op.execute(
        "CREATE TRIGGER block_fts_add AFTER INSERT ON block BEGIN "
        "INSERT INTO block_fts(rowid, text) VALUES (new.id, new.text); END"
    )
    op.execute(
        "CREATE TRIGGER block_fts_drop AFTER DELETE ON block BEGIN "
        "INSERT INTO block_fts(block_fts, rowid, text) VALUES ('delete', old.id, old.text); END"
    )
    op.execute(
        "CREATE TRIGGER insight_fts_edit AFTER UPDATE OF title, text, quote ON insight BEGIN "
        "INSERT INTO insight_fts(insight_fts, rowid, title, text, quote) "
        "VALUES ('delete', old.id, old.title, old.text, old.quote); "
        "INSERT INTO insight_fts(rowid, title, text, quote) VALUES (new.id, new.title, new.text, new.quote); END"
    )


def _postgres() -> None:
    # The parser would keep hosts, paths and compounds as words of their own; plain words are what people look for.
    # translate() is immutable and there everywhere, which unaccent is not.
    pairs = {chr(n): _plain(chr(n)) for n in range(0xC0, 0x180)}
    folded = {accented: plain for accented, plain in pairs.items() if plain}
    marks = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\u2013\u2014\u2018\u2019\u201c\u201d\u2026\u00ab\u00bb"
    before, after = "".join(folded) + marks, "".join(folded.values()) + " " * len(marks)
    bind = op.get_bind()

    def words(column: str) -> str:
        literal = [part.replace("'", "''").replace("%", "%%") for part in (before, after)]
        return f"to_tsvector('simple', translate({column}, '{literal[0]}', '{literal[1]}'))"

    op.execute("ALTER TABLE insight DROP COLUMN search")  # and its index with it
    for table, column in (("insight", "title || ' ' || text || ' ' || quote"), ("block", "text")):
        bind.exec_driver_sql(
            f"ALTER TABLE {table} ADD COLUMN search tsvector GENERATED ALWAYS AS ({words(column)}) STORED"
        )
        op.execute(f"CREATE INDEX ix_{table}_search ON {table} USING gin (search)")


def _plain(letter: str) -> str | None:
    base = unicodedata.normalize("NFKD", letter)[0].lower()
    return base if base.isascii() and base.isalpha() else None
