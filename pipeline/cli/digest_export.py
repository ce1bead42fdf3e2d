"""`podsift digest export`: a day's digest as Markdown, JSON or text; all of them into a folder of notes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.channel.folder import write
from pipeline.channel.issue import as_json
from pipeline.channel.markdown import as_markdown, file_name
from pipeline.cli.shared import App
from pipeline.errors import NotFoundError, UsageError
from pipeline.store import digests, subscribers


@click.command()
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The local day (default: the newest digest).")
@click.option("--to", "email", help="Whose digest (default: the first subscriber's).")
@click.option("--as", "form", type=click.Choice(["markdown", "json", "text"]), default="markdown", show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, exists=True, writable=True, path_type=Path),
              help="Write one Markdown file a day into this folder instead of printing.")  # fmt: skip
@click.option("--all", "all_", is_flag=True, help="Every digest of this person; needs --folder.")
@click.pass_obj
def export(app: App, day: click.DateTime | None, email: str | None, form: str, folder: Path | None, all_: bool) -> None:
    """Print a digest, or write Markdown files that Obsidian and its like take as they are."""
    if all_ and folder is None:
        raise UsageError("--all writes files", hint="say where: --folder NOTES")
    with app.database() as db, db.begin(reads=True) as conn:
        people = [subscribers.find(conn, email)] if email else subscribers.listed(conn)
        ids = digests.of_subscriber(conn, people[0].id, 10_000) if people else []
        if day is not None:
            found = digests.exists(conn, people[0].id, f"{day:%Y-%m-%d}") if people else None
            ids = [found] if found else []
        if not ids:
            raise NotFoundError("There is no such digest", hint="podsift digest list shows the digests")
        rows = [(i, digests.issue(conn, i), digests.get(conn, i)["text"]) for i in (ids if all_ else ids[:1])]
    for digest_id, issue, text in rows:
        if folder is not None:
            path = folder / file_name(issue.local_date)
            write(path, as_markdown(issue, app.settings))
            click.echo(str(path))
        elif form == "json":
            click.echo(
                json.dumps(json.loads(as_json(issue, digest_id, app.settings))["data"], indent=2, ensure_ascii=False)
            )
        else:
            click.echo(as_markdown(issue, app.settings) if form == "markdown" else text, nl=False)
