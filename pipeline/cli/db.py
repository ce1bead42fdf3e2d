"""`podsift db`: the database's schema, and moving to another one."""

from __future__ import annotations

import click
from pydantic import SecretStr, ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.cli.shared import App, console, json_option, print_json, print_row
from pipeline.engine.lock import hold
from pipeline.errors import UsageError
from pipeline.settings import DatabaseSettings
from pipeline.store import database
from pipeline.store.copy import copy as copy_rows


@click.group()
def db() -> None:
    """The database's schema, and moving to another one."""


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


@db.command()
@click.option("--to", "url", required=True, metavar="URL", help="postgresql://user:password@host/name, an empty one.")
@json_option
@click.pass_obj
def copy(app: App, url: str, as_json: bool) -> None:
    """Copy everything into another, empty database. Stop podsift before; switch database.url after."""
    try:
        wanted = app.settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(url))})
    except ValidationError as e:
        why = e.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError("That is no address of a database", why=why) from None
    if wanted.database_url == app.settings.database_url:
        raise UsageError("The target is the database that is in use", hint="name another one with --to")
    with hold(app.settings), app.database() as source:
        target = database.open_url(wanted.database_url)
        try:
            columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, console=console, transient=True, disable=as_json) as bars:
                tasks: dict[str, int] = {}

                def tell(table: str, done: int, total: int) -> None:
                    if table not in tasks:
                        tasks[table] = bars.add_task(table, total=total)
                    bars.update(tasks[table], completed=done)  # type: ignore[arg-type]

                counts = copy_rows(source, target, tell)
        finally:
            target.close()
    if as_json:
        print_json({"copied": counts})
        return
    for name, count in counts.items():
        click.echo(f"{name:16}{count:>9}")
    click.echo("Everything arrived. Set database.url (PODSIFT_DATABASE_URL) to the new one, then start podsift again.")
