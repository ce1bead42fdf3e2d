"""`podsift insight`: find and list insights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pipeline.cli.insight_batch import export_batch, import_batch
from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.store import episodes, insights


@click.group()
def insight() -> None:
    """Find and list insights."""


insight.add_command(export_batch)
insight.add_command(import_batch)


@insight.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--top", default=5, show_default=True, type=click.IntRange(1, 100), help="At most so many insights.")
@click.option(
    "--writer",
    type=click.Choice(["selecting", "moe"]),
    default="selecting",
    show_default=True,
    help="moe asks the language model at llm.url.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (the only form so far).")
@click.pass_obj
def find(app: App, path: Path, top: int, writer: str, as_json: bool) -> None:
    """Find the insights of a Podcasting 2.0 JSON transcript. Needs no database."""
    from pipeline.insight.find import findings_json
    from pipeline.insight.toolbox import Toolbox
    from pipeline.records import EpisodeContext
    from pipeline.transcript.make import read_podcast_json

    transcript = read_podcast_json(path)
    # The selecting writer needs no settings, so a wrong one must not stop it.
    chosen = Toolbox().selecting if writer == "selecting" else Toolbox(app.settings.llm).moe
    found = chosen.find(transcript, EpisodeContext())
    out = findings_json(found, transcript)
    out["insights"] = out["insights"][:top]
    print_json(out)


@insight.command("list")
@click.option("--episode", "episode_id", type=int, help="Only of this episode.")
@json_option
@click.pass_obj
def list_(app: App, episode_id: int | None, as_json: bool) -> None:
    """Insights with their scores, by episode."""
    with app.database() as db, db.begin() as conn:
        ids = [episode_id] if episode_id else [r["id"] for r in episodes.listed(conn, stage="done")]
        rows = [asdict(i) for e in ids for i in insights.of_episode(conn, e)]
    print_rows(rows, ("id", "show", "episode", "score", "title"), "No insights yet.", as_json)
