"""`podsift stats`: what each day brought, and what it cost."""

from __future__ import annotations

import click

from pipeline.cli.shared import App, json_option, print_rows
from pipeline.metrics.days import COLUMNS, rows


@click.command()
@click.option("--days", default=14, show_default=True, type=click.IntRange(1, 3660), help="So many days, today is one.")
@json_option
@click.pass_obj
def stats(app: App, days: int, as_json: bool) -> None:
    """Each day (UTC): episodes, hours, insights, GPU-seconds and tokens an insight, Whisper's real time factor."""
    with app.database() as db, db.begin(reads=True) as conn:
        found = rows(conn, app.clock.now(), days)
    print_rows(found, COLUMNS, "Nothing happened in these days.", as_json)
