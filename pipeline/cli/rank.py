"""`podsift rank`: the passage ranker, and training it on what the served language model found."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.cli.shared import App, console, json_option, print_json, print_row, print_rows
from pipeline.errors import UsageError
from pipeline.store import insights, transcripts
from pipeline.store.database import Database

if TYPE_CHECKING:
    from pipeline.insight.distill import Distilled, Example


@click.group()
def rank() -> None:
    """The passage ranker, and training it on what your language model found."""


@rank.command()
@click.option("--days", default=180, show_default=True, type=click.IntRange(1), help="Insights of so many days.")
@click.option("--episodes", "most", default=100, show_default=True, type=click.IntRange(1), help="The newest so many.")
@click.option("--model", help="The language model to learn from (default: the one with most episodes).")
@click.option("--use", is_flag=True, help="Use the trained ranker from now on, if it is better on held-back episodes.")
@click.option("--force", is_flag=True, help="With --use: also when it is not.")
@json_option
@click.pass_obj
def distill(app: App, days: int, most: int, model: str | None, use: bool, force: bool, as_json: bool) -> int:
    """Train the ranker on the scores that the served language model has left in the database.

    The shipped ranker stays, and gets a head that corrects it. Both rank episodes that the head has not seen; only one
    that is better there is worth using. The selecting writer then looks where your model would.
    """
    from pipeline.insight.distill import distil
    from pipeline.insight.rank import Ranker

    now = app.clock.now()
    with app.database() as db:
        chosen, examples = _examples(app, db, now - timedelta(days=days), most, model)
    found = distil(examples, base=Ranker.load().version, model=chosen, made=now.date().isoformat())
    used = use and (found.better or force)
    if used:
        found.head.save(_path(app))
    told = {k: v for k, v in asdict(found).items() if k != "head"} | {
        "model": chosen,
        "episodes": len(examples),
        "better": found.better,
        "used": used,
    }
    if as_json:
        print_json(told)
    else:
        _say(found, chosen, len(examples))
        if used:
            click.echo(f"In use from now on ({_path(app)}); a running podsift takes it when it is started again.")
        elif found.better:
            click.echo("podsift rank distill --use takes it.")
    return 1 if use and not used else 0


def _say(found: Distilled, model: str, episodes: int) -> None:
    click.echo(f"{episodes} episodes of {model}, each ranked by a head that had not seen it:")
    rows = [
        {"": name, "nDCG@5": f"{f.ndcg:.3f}", "found in 5": f"{f.precision:.2f}", "rank": _signed(f.correlation)}
        for name, f in (("shipped", found.shipped), ("tuned", found.tuned))
    ]
    print_rows(rows, ("", "nDCG@5", "found in 5", "rank"), "Nothing.", False)
    verdict = "Better" if found.better else "Not better for sure"
    click.echo(
        f"{verdict}: nDCG@5 {found.difference:+.3f} +- {found.error:.3f} an episode, up in {found.wins}, down in "
        f"{found.losses}."
    )


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


@rank.command()
@json_option
@click.pass_obj
def show(app: App, as_json: bool) -> None:
    """Which ranker is in use."""
    from pipeline.insight.rank import Ranker
    from pipeline.insight.tuned import Head, tuned

    shipped = Ranker.load()
    try:
        head = Head.read(_path(app))
    except ValueError as e:
        raise UsageError(str(e), hint="podsift rank reset goes back to the shipped ranker") from e
    told: dict[str, Any] = {"in_use": tuned(shipped, _path(app)).version, "shipped": shipped.version}
    if head is not None:
        told |= {"tuned_on": head.model, "episodes": head.episodes, "made": head.made, "made_for": head.base}
    print_row(told, as_json)


@rank.command()
@click.pass_obj
def reset(app: App) -> None:
    """Go back to the shipped ranker."""
    path = _path(app)
    there = path.exists()
    path.unlink(missing_ok=True)
    click.echo("The shipped ranker is in use again." if there else "The shipped ranker is in use.")


def _path(app: App) -> Path:
    from pipeline.insight.tuned import FILE

    return app.settings.data_dir / FILE


def _examples(app: App, db: Database, since: datetime, most: int, model: str | None) -> tuple[str, list[Example]]:
    """The model that is learnt from, and its episodes, read anew with the shipped ranker."""
    import numpy as np

    from pipeline.insight.distill import Example, gains_of
    from pipeline.insight.passage import passages
    from pipeline.insight.toolbox import Toolbox
    from pipeline.insight.tuned import columns_of

    with db.begin() as conn:
        written = insights.written(conn, since, most)
    if not written or (model is not None and model not in written):
        names = ", ".join(sorted(written)) or "none"
        raise UsageError(
            f"There are no insights of {model or 'a language model'} to learn from",
            why=f"models with insights in this time: {names}",
            hint="set llm.url, or podsift insight export-batch",
        )
    chosen = model or max(written, key=lambda name: (len(written[name]), name))
    tools = Toolbox()
    found = []
    columns = (TextColumn("reading episode {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=len(written[chosen]))
        for episode_id, of in written[chosen].items():
            bars.update(task, description=str(episode_id))
            with db.begin() as conn:
                transcript = transcripts.load(conn, episode_id)
            cut = passages(transcript)
            if cut:
                vectors = tools.ranker.vectors(cut, transcript, tools.embedder)
                shipped = np.array([p.score for p in tools.ranker.scored(cut, transcript)])
                made = Example(shipped, columns_of(cut, transcript, vectors), gains_of(cut, of, transcript))
                found.append(made)
            bars.advance(task)
    return chosen, found
