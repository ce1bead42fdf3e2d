"""`podsift db`: the database's schema."""

from __future__ import annotations

import click

from pipeline.cli.shared import App, json_option, print_row
from pipeline.store import database


@click.group()
def db() -> None:
    """The database's schema."""


@db.command()
@click.pass_obj
def upgrade(app: App) -> None:
    """Bring the schema up to date (every command does this by itself)."""
    with app.database() as opened:
        click.echo(f"schema {database.version(opened)}")


@db.command()
@json_option
@click.pass_obj
def status(app: App, as_json: bool) -> None:
    """Where the database is, and its schema's version."""
    settings = app.settings
    where = "PostgreSQL" if settings.on_postgres else settings.database_url.removeprefix("sqlite:///")
    opened = database.Database(settings.database_url)
    exists = settings.on_postgres or (settings.data_dir / "podsift.db").exists()
    at = database.version(opened) if exists else None
    opened.close()
    print_row({"database": where, "schema": at, "newest": database.head(), "current": at == database.head()}, as_json)
