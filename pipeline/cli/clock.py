"""`podsift clock`: orders what falls due. For PostgreSQL; a second one stands by."""

from __future__ import annotations

import click

from pipeline.cli.shared import App
from pipeline.cli.up import daily, stopped
from pipeline.cli.worker import require_postgres
from pipeline.engine.ticks import keep


@click.command()
@click.pass_obj
def clock(app: App) -> None:
    """Order polls and digests as they fall due, and rescue jobs of workers that died."""
    require_postgres(app)
    with app.database() as db:
        keep(db, app.clock, stopped(), click.echo, daily(app, db))
