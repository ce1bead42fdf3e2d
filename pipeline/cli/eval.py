"""`podsift eval`: how good a writer is, and whether another model could take its place."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.cli.shared import App, console, json_option, print_json, print_row, print_rows
from pipeline.errors import NotFoundError, UsageError
from pipeline.insight.evaluate import against_grades, against_run, compared, summary
from pipeline.insight.find import findings_json
from pipeline.insight.llm_book import Tally
from pipeline.insight.toolbox import Toolbox
from pipeline.insight.tuned import FILE as TUNED_RANKER
from pipeline.records import EpisodeContext, Transcript
from pipeline.store import episodes, insights, llm_calls, transcripts

MOST_BYTES = 200_000_000
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(name="eval")
def eval() -> None:
    """How good a writer is, and whether another model could take its place."""


@eval.command()
@click.argument("paths", nargs=-1, type=_file)
@click.option(
    "--output", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where the run goes."
)
@click.option("--writer", type=click.Choice(["selecting", "moe"]), default="selecting", show_default=True)
@click.option("--episodes", "count", default=10, show_default=True, help="Without files: the last so many episodes.")
@click.pass_obj
def run(app: App, paths: tuple[Path, ...], output: Path, writer: str, count: int) -> None:
    """Let a writer read stored episodes, or transcript files, and keep what it finds and what it costs."""
    from pipeline.transcript.make import read_podcast_json

    tally = Tally()
    given = [(p.stem, read_podcast_json(p), EpisodeContext()) for p in paths]
    todo = given or _stored(app, count)
    tools = Toolbox(app.settings.llm, book=tally, tuned=app.settings.data_dir / TUNED_RANKER)
    chosen = tools.selecting if writer == "selecting" else tools.moe
    done = []
    columns = (TextColumn("reading {task.description:40.40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("", total=len(todo))
        for key, transcript, context in todo:
            bars.update(task, description=key)
            tally.calls.clear()
            began = time.perf_counter()
            found = chosen.find(transcript, context)
            seconds = time.perf_counter() - began
            done.append(
                findings_json(found, transcript)
                | {
                    "key": key,
                    "words": _words(transcript),
                    "seconds": seconds,
                    "tokens": tally.tokens(),
                    "dropped": dict(Counter(d.reason for d in found.dropped)),
                }
            )
            bars.advance(task)
    origin = chosen.origin
    head = {
        "writer": origin.writer,
        "model": origin.model,
        "revision": origin.revision,
        "quantisation": origin.quantisation,
        "prompt_version": origin.prompt_version,
    }
    output.write_text(json.dumps(head | {"episodes": done}, ensure_ascii=False), "utf-8")
    click.echo(f"{len(done)} episodes, {sum(len(e['insights']) for e in done)} insights: {output}")


def _stored(app: App, count: int) -> list[tuple[str, Transcript, EpisodeContext]]:
    from pipeline.stages import context_of

    with app.database() as db, db.begin() as conn:
        rows = episodes.listed(conn, stage="done", limit=count)
        if not rows:
            raise NotFoundError("No episode is finished yet", hint="podsift job list shows what waits")
        return [
            (f"episode-{r['id']}", transcripts.load(conn, r["id"]), context_of(episodes.get(conn, r["id"])))
            for r in rows
        ]


def _words(transcript: Transcript) -> list[int]:
    """Words of each segment of the input, or of each sentence where there are no segments."""
    counts: list[int] = []
    for n, s in enumerate(transcript.sentences):
        first, last = s.segments or (n, n)
        counts += [0] * (last + 1 - len(counts))
        for k in range(first, last + 1):
            counts[k] += max(1, round(len(s.text.split()) / (last - first + 1)))
    return counts


@eval.command()
@click.argument("path", type=_file)
@click.option("--gold", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder of graded files.")
@click.option("--against", type=_file, help="A run of a stronger model, whose insights are the measure.")
@json_option
@click.pass_obj
def show(app: App, path: Path, gold: Path | None, against: Path | None, as_json: bool) -> None:
    """Figures on one run: insights, duplicates, what was dropped and why, length, speed.

    With grades, or with the run of a stronger model, also how well it ranks: nDCG@5 and precision@5.
    """
    found = _read(path)
    told: dict[str, Any] = {k: found[k] for k in ("writer", "model")} | summary(found)
    if gold is not None:
        graded = {p.stem: json.loads(p.read_text("utf-8")) for p in sorted(gold.glob("*.json"))}
        told |= against_grades(found, graded) | {"graded_episodes": against_grades(found, graded)["episodes"]}
        told["episodes"] = len(found["episodes"])
    if against is not None:
        judged = against_run(found, _read(against))
        told |= {f"{k} against {against.name}": v for k, v in judged.items()}
    print_row(told, as_json)


@eval.command()
@click.argument("a", type=_file)
@click.argument("b", type=_file)
@json_option
@click.pass_obj
def compare(app: App, a: Path, b: Path, as_json: bool) -> None:
    """Run B beside run A: overlap of the top five, rank correlation, proof rate, cost, and a short verdict."""
    found = compared(_read(a), _read(b))
    if as_json:
        print_json(found)
        return
    rows = [{"": name, a.name: found["a"][name], b.name: found["b"][name]} for name in found["a"]]
    rows = [{k: f"{v:.3g}" if isinstance(v, float) else v for k, v in r.items()} for r in rows]
    print_rows(rows, ("", a.name, b.name) if a.name != b.name else ("", a.name), "Nothing.", False)
    for name in ("overlap@5", "rank_correlation"):
        if found[name] is not None:
            click.echo(f"{name}: {found[name]['mean']:.3f} +- {found[name]['error']:.3f}")
    click.echo(f"\n{found['verdict']}")


@eval.command()
@click.option("--days", default=30, show_default=True, help="Of the last so many days.")
@json_option
@click.pass_obj
def stored(app: App, days: int, as_json: bool) -> None:
    """What the database holds: insights and drops by writer and reason, and what the language model's calls cost."""
    from datetime import timedelta

    since: datetime = app.clock.now() - timedelta(days=days)
    with app.database() as db, db.begin() as conn:
        told = {
            "insights": insights.by_writer(conn, since),
            "dropped": insights.drops(conn, since),
            "calls": llm_calls.summary(conn, since),
        }
    if as_json:
        print_json(told)
        return
    print_rows(told["insights"], ("writer", "model", "insights", "words"), "No insights.", False)
    print_rows(told["dropped"], ("reason", "dropped"), "Nothing was dropped.", False)
    columns = ("model", "purpose", "outcome", "calls", "prompt_tokens", "cached_tokens", "completion_tokens", "seconds")
    print_rows(told["calls"], columns, "No calls to a language model.", False)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is larger than {MOST_BYTES} bytes")
        found = json.loads(path.read_text("utf-8"))
        episodes_ = found["episodes"]
        if not all(
            {"key", "words", "seconds", "tokens", "passages", "insights", "dropped"} <= e.keys() for e in episodes_
        ):
            raise KeyError("episodes")
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageError(f"{path} is no run of podsift eval", hint="podsift eval run --output FILE makes one") from e
    return dict(found)
