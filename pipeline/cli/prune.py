"""`podsift prune`: what the retention settings say is to go."""

from __future__ import annotations

import click

from pipeline.backup import prune as pruning
from pipeline.cli.shared import App, json_option, print_json


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@json_option
@click.pass_obj
def prune(app: App, dry_run: bool, as_json: bool) -> None:
    """Delete what is older than the settings under [retention] keep; podsift up and the clock do it once a day.

    Insights, digests, what each subscriber has had, and people never go.
    """
    kept, now = app.settings.retention, app.clock.now()
    with app.database() as db:
        found = pruning.due(db, kept, now) if dry_run else pruning.prune(db, kept, now, app.settings.data_dir / "audio")
    if as_json:
        print_json({"dry_run": dry_run, "deleted" if not dry_run else "would_delete": found})
        return
    limits = {c.name: f"{c.days} days" for c in pruning.chores(kept, now)}
    for name, n in found.items():
        click.echo(f"{n:>9} {name}" + (f", older than {limits[name]}" if name in limits else ""))
    if not found:
        click.echo("No limit is set under [retention]: everything is kept.")
    click.echo("nothing was deleted" if dry_run else "done")
