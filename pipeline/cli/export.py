"""`podsift export`: everything in open formats."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.backup.export import export as write_all
from pipeline.cli.backup import bars
from pipeline.cli.shared import App, json_option, print_json


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def export(app: App, folder: Path, as_json: bool) -> None:
    """Write everything below FOLDER (new or empty): JSON Lines, OPML, WebVTT, Markdown, digests and mails.

    Subscribers' addresses are in it; the secret key, credentials of private feeds and audio are not.
    """
    with app.database() as db, bars(as_json) as told:
        counts = write_all(db, app.settings, folder, app.clock.now(), told)
    if as_json:
        print_json({"folder": str(folder.absolute()), "counts": counts})
        return
    click.echo(
        f"{folder}: {counts['feed']} feeds, {counts['episode']} episodes ({counts['episodes']} with a transcript), "
        f"{counts['insight']} insights, {counts['digests']} digests, {counts['mails']} mails"
    )
    click.echo("README.txt there says what is where.")
