"""Alembic's entry: runs on the connection that store.database hands over."""

from alembic import context
from sqlalchemy import Connection, create_engine

from pipeline.store.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
    given.commit()
else:
    engine = create_engine(context.config.attributes["url"])
    with engine.connect() as opened:
        run(opened)
        opened.commit()
