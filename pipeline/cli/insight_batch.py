"""`podsift insight export-batch` and `import-batch`: a day's questions in a file, for any model that answers files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.cli.shared import App, console, json_option, print_json
from pipeline.errors import ParseError, UsageError
from pipeline.insight.batch import MOST_LINE, Answer, line, read_line
from pipeline.insight.batch_relate import BatchRelating
from pipeline.insight.batch_work import BatchWork, Turn
from pipeline.store import batches
from pipeline.store.database import Database

AT_ONCE = 500
"""Answers are stored so many at a time."""
_new = click.Path(dir_okay=False, path_type=Path)
model_option = click.option("--model", help="Name that the questions ask for (default: llm.model, else `model`).")


@click.command("export-batch")
@click.argument("output", type=_new)
@click.option("--days", default=1, show_default=True, type=click.IntRange(1, 365), help="Published in so many days.")
@click.option("--episode", "only", type=int, multiple=True, help="These episodes, whatever was written of them.")
@model_option
@json_option
@click.pass_obj
def export_batch(
    app: App, output: Path, days: int, only: tuple[int, ...], model: str | None, as_json: bool
) -> int | None:
    """Write what a language model is to be asked about new episodes to a file, in OpenAI's batch format.

    Taken are episodes that wait for their insights, those of the last days of which no language model wrote any, and
    those that an earlier file left open. Of finished ones it is asked how their insights stand to others.
    """
    with app.database() as db:
        since = app.clock.now() - timedelta(days=days)
        with db.begin() as conn:
            wanted = list(dict.fromkeys([*batches.open_(conn), *(only or batches.todo(conn, since))]))
            relating = list(batches.open_(conn, relating=True))
            # A served model has said it already; episodes that were named are wanted alone.
            relating += [] if only or app.settings.llm.url else batches.unrelated(conn, since)
        turns = _turns(app, db, model, wanted, relating)
    asked = _write(output, turns)
    if as_json:
        print_json({"file": str(output) if asked else None, "questions": asked} | _told(turns))
        return _code(turns)
    _say(turns)
    if asked:
        click.echo(f"{_counted(asked, 'question')} about {_counted(_open(turns), 'episode')}: {output}")
        click.echo("Have them answered, then: podsift insight import-batch ANSWERS.jsonl")
    elif not any(t.insights or t.links or t.error for t in turns):
        click.echo("No episode waits for a language model's insights. --days or --episode takes older ones.")
    return _code(turns)


@click.command("import-batch")
@click.argument("answers", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--next", "following", type=_new, help="Write what is to be asked next here.")
@model_option
@json_option
@click.pass_obj
def import_batch(app: App, answers: Path, following: Path | None, model: str | None, as_json: bool) -> int | None:
    """Read a model's answers to an exported file, and make insights of what is answered whole.

    They go the same way as those of a served model: proof, scores, links, digest. An episode takes a few files; a
    question that failed or was not answered is asked again.
    """
    with app.database() as db:
        read = _read(db, answers)
        with db.begin() as conn:
            under_way, relating = list(batches.open_(conn)), list(batches.open_(conn, relating=True))
        if read["lines"] and not read["kept"] and not read["failed"]:
            raise UsageError(
                f"{answers} answers nothing that was asked",
                why=f"{read['lines']} lines, {read['bad']} of them no answers",
                hint="podsift insight export-batch FILE writes the questions",
            )
        turns = _turns(app, db, model, under_way, relating)
    asked = _write(following, turns) if following else sum(len(t.questions) for t in turns)
    if as_json:
        print_json(read | {"file": str(following) if following and asked else None, "questions": asked} | _told(turns))
        return _code(turns, read["bad"])
    click.echo(
        f"{_counted(read['lines'], 'line')}: {read['kept']} answers, {read['failed']} failed and asked again, "
        f"{read['unknown']} not asked for, {read['bad']} unreadable"
    )
    _say(turns)
    if asked:
        left = f"{_counted(asked, 'question')} about {_counted(_open(turns), 'episode')}"
        click.echo(f"{left}: {following}" if following else f"{left} next: podsift insight export-batch NEXT.jsonl")
    return _code(turns, read["bad"])


def _turns(app: App, db: Database, model: str | None, ids: Iterable[int], relating: Iterable[int]) -> list[Turn]:
    """What became of each episode: first those whose insights are to be written, then those to be related."""
    from pipeline.insight.toolbox import Toolbox
    from pipeline.insight.tuned import FILE as TUNED_RANKER
    from pipeline.stages import context_of

    tools = Toolbox(tuned=app.settings.data_dir / TUNED_RANKER)
    name = model or app.settings.llm.model or "model"
    write = BatchWork(db, app.clock, tools, context_of, name).turn
    relate = BatchRelating(db, app.clock, name, timedelta(days=app.settings.digest.lookback_days)).turn
    work = [*((write, i) for i in ids), *((relate, i) for i in dict.fromkeys(relating))]
    columns = (TextColumn("reading episode {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    turns = []
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=len(work))
        for turn, episode_id in work:
            bars.update(task, description=str(episode_id))
            turns.append(turn(episode_id))
            bars.advance(task)
    return turns


def _read(db: Database, path: Path) -> dict[str, int]:
    """Store the answers of a file; counts of lines."""
    counts = {"lines": 0, "kept": 0, "failed": 0, "unknown": 0, "bad": 0}
    waiting: list[Answer] = []

    def flush() -> None:
        with db.begin() as conn:
            known = batches.keep(conn, waiting)
        counts["unknown"] += sum(a.id not in known for a in waiting)
        counts["kept"] += sum(a.id in known and a.final for a in waiting)
        counts["failed"] += sum(a.id in known and not a.final for a in waiting)
        waiting.clear()

    with path.open("rb") as file:
        for raw in _lines(file):
            counts["lines"] += 1
            try:
                waiting.append(read_line(raw))
            except ParseError:
                counts["bad"] += 1
            if len(waiting) == AT_ONCE:
                flush()
    flush()
    return counts


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines that are not blank; of one that is too long only its beginning, which is no answer."""
    while raw := file.readline(MOST_LINE + 2):
        rest = raw
        while len(rest) > MOST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MOST_LINE + 2)
        if raw.strip():
            yield raw


def _write(output: Path, turns: Iterable[Turn]) -> int:
    """Write all questions; returns how many. Without any no file is touched."""
    questions = [q for turn in turns for q in turn.questions]
    if questions:
        with _whole(output) as file:
            file.writelines(line(question) for question in questions)
    return len(questions)


@contextmanager
def _whole(output: Path) -> Iterator[IO[str]]:
    """A file that is there whole, or as it was."""
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(output)
    except OSError as e:
        raise UsageError(f"{output} cannot be written", why=e.strerror) from e
    finally:
        part.unlink(missing_ok=True)


def _told(turns: Sequence[Turn]) -> dict[str, Any]:
    return {
        "finished": [{"episode": t.episode_id, "insights": t.insights} for t in turns if t.insights is not None],
        "related": [{"episode": t.episode_id, "links": t.links} for t in turns if t.links is not None],
        "open": [{"episode": t.episode_id, "questions": len(t.questions)} for t in turns if t.questions],
        "errors": [{"episode": t.episode_id, "error": t.error} for t in turns if t.error],
    }


def _say(turns: Sequence[Turn]) -> None:
    for t in turns:
        if t.insights is not None:
            click.echo(f"episode {t.episode_id}, {t.title[:60]}: {_counted(t.insights, 'insight')}")
        elif t.links is not None:
            click.echo(f"episode {t.episode_id}, {t.title[:60]}: {_counted(t.links, 'link')} to other insights")
        elif t.error:
            click.echo(f"episode {t.episode_id}, {t.title[:60]}: {t.error}", err=True)


def _open(turns: Iterable[Turn]) -> int:
    return sum(bool(t.questions) for t in turns)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _code(turns: Sequence[Turn], bad: int = 0) -> int:
    failed = sum(t.error is not None for t in turns)
    if failed and failed == len(turns):
        return 1
    return 5 if failed or bad else 0
