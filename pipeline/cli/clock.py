"""`podsift clock`: orders what falls due. For PostgreSQL; a second one stands by."""

from __future__ import annotations

import signal
import threading

import click

from pipeline.cli.shared import App
from pipeline.cli.up import daily
from pipeline.cli.worker import require_postgres
from pipeline.engine.ticks import keep


@click.command()
@click.pass_obj
def clock(app: App) -> None:
    """Order polls and digests as they fall due, and rescue jobs of workers that died."""
    require_postgres(app)
    ended = threading.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda _signal, _frame: ended.set())
    with app.database() as db:
        keep(db, app.clock, ended, click.echo, daily(app, db))
