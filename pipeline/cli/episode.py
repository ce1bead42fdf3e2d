"""`podsift episode`: episodes and where they stand."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.shared import App, json_option, print_row, print_rows
from pipeline.email.render import clock_time
from pipeline.feed.private import masked
from pipeline.store import episodes


@click.group()
def episode() -> None:
    """Episodes and where they stand."""


@episode.command("list")
@click.option("--stage", type=click.Choice(list(episodes.STAGES)), help="Only those at this stage.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
@json_option
@click.pass_obj
def list_(app: App, stage: str | None, limit: int, as_json: bool) -> None:
    """Episodes, newest first."""
    with app.database() as db, db.begin() as conn:
        rows = [_discreet(r) for r in episodes.listed(conn, stage=stage, limit=limit)]
    columns = ("id", "show", "title", "published", "stage", "error")
    print_rows(rows, columns, "No episodes yet. podsift feed add URL, then podsift run", as_json)


@episode.command()
@click.argument("episode_id", type=int)
@json_option
@click.pass_obj
def show(app: App, episode_id: int, as_json: bool) -> None:
    """One episode with everything that is known of it."""
    with app.database() as db, db.begin() as conn:
        row = _discreet(episodes.get(conn, episode_id))
    if not as_json:
        row["stage"] = f"{row['stage']} ({episodes.STAGES[row['stage']]})"
        row |= _in_words(row)
    print_row(row, as_json)


def _discreet(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a private feed without what stands in the queries of its addresses."""
    if not row["private"]:
        return row
    shown = {k: masked(row[k]) for k in ("enclosure_url", "chapters_url", "link", "image_url") if row[k]}
    return row | shown | {"transcripts": [t | {"url": masked(t["url"])} for t in row["transcripts"]]}


def _in_words(row: dict[str, Any]) -> dict[str, str]:
    people = [f"{p.name} ({p.role})" if p.role else p.name for p in episodes.persons(row)]
    chapters = [f"{clock_time(c['start'])} {c['title']}" for c in row["chapters"] or ()]
    bites = [f"{clock_time(s['start'])} {s['title'] or ''} ({s['duration_s']:.0f} s)" for s in row["soundbites"] or ()]
    return {
        "persons": ", ".join(people),
        "feed_persons": ", ".join(p["name"] for p in row["feed_persons"] or ()),
        "transcripts": ", ".join(t["url"] for t in row["transcripts"]),
        "chapters": "; ".join(chapters),
        "soundbites": "; ".join(bites),
    }


@episode.command()
@click.argument("episode_ids", type=int, nargs=-1, required=True)
@click.pass_obj
def retry(app: App, episode_ids: tuple[int, ...]) -> None:
    """Send failed, skipped or waiting episodes on their way again."""
    with app.database() as db, db.begin() as conn:
        for i in episode_ids:
            click.echo(f"episode {i} goes on at {episodes.retry(conn, i)}")
