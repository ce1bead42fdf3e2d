"""`podsift job`: what waits, runs or failed. The stage column is the truth, so this is a view of it."""

from __future__ import annotations

import click

from pipeline.cli.shared import App, json_option, print_rows
from pipeline.store import episodes


@click.group()
def job() -> None:
    """What waits, runs or failed."""


@job.command("list")
@json_option
@click.pass_obj
def list_(app: App, as_json: bool) -> None:
    """Episodes on their way, and those that failed."""
    with app.database() as db, db.begin() as conn:
        rows = [r for s in (*episodes.WAITING, "failed") for r in episodes.listed(conn, stage=s)]
    picked = [{k: r[k] for k in ("id", "stage", "show", "title", "attempts", "retry_at", "error")} for r in rows]
    columns = ("id", "stage", "show", "title", "attempts", "retry_at", "error")
    print_rows(picked, columns, "Nothing waits.", as_json)


@job.command()
@click.argument("episode_ids", type=int, nargs=-1)
@click.option("--failed", is_flag=True, help="All that failed.")
@click.pass_obj
def retry(app: App, episode_ids: tuple[int, ...], failed: bool) -> None:
    """Start again what failed or waits."""
    with app.database() as db, db.begin() as conn:
        ids = list(episode_ids) + ([r["id"] for r in episodes.listed(conn, stage="failed")] if failed else [])
        for i in ids:
            click.echo(f"episode {i} goes on at {episodes.retry(conn, i)}")
        if not ids:
            click.echo("Nothing to start again.")
