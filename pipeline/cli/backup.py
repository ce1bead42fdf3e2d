"""`podsift backup`: a whole installation as one file."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from pipeline.backup.write import Told, write
from pipeline.cli.shared import App, console, json_option, print_json
from pipeline.errors import UsageError


@contextmanager
def bars(hidden: bool) -> Iterator[Told]:
    """A bar for each thing that is told of."""
    columns = (TextColumn("{task.description:14}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        tasks: dict[str, int] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield tell


@click.command()
@click.argument("path", required=False, metavar="[FILE]")
@json_option
@click.pass_obj
def backup(app: App, path: str | None, as_json: bool) -> None:
    """Write database, settings and secret key to FILE (default: podsift-DATE.tar.gz here; - is stdout).

    Podsift may go on working meanwhile. The file is readable by you alone: it holds the secret key and addresses.
    Audio is not in it, nor are secrets that stand in other files or variables (mail password, DKIM key).
    """
    settings = app.settings
    if path == "-":
        _to_stdout(lambda target: write(settings, app.config_path, target, app.clock.now()))
        return
    target = Path(path or f"podsift-{app.clock.now():%Y-%m-%d-%H%M%S}.tar.gz")
    with bars(as_json) as told:
        made = write(settings, app.config_path, target, app.clock.now(), told)
    missing = settings.secret_key is None
    if as_json:
        print_json(
            {
                "file": str(target.absolute()),
                "bytes": target.stat().st_size,
                "schema": made.schema,
                "database": made.database,
                "rows": dict(made.tables),
                "secret_key": not missing,
            }
        )
        return
    rows = sum(made.tables.values())
    click.echo(
        f"{target}: {target.stat().st_size / 1e6:.1f} MB, {len(made.tables)} tables, {rows} rows, read back and checked"
    )
    if missing:
        click.echo("There is no secret key, so none is in it (podsift init makes one).")
    click.echo(f"podsift restore {target} --to NEW-FOLDER makes an installation of it; --check only reads it.")


def _to_stdout(make: Callable[[Path], object]) -> None:
    out = sys.stdout.buffer
    if out.isatty():
        raise UsageError("A backup is not written to a terminal", hint="podsift backup - > FILE, or name a file")
    folder = Path(tempfile.mkdtemp(prefix=".podsift-backup-"))
    try:
        make(folder / "made")
        with (folder / "made").open("rb") as f:
            shutil.copyfileobj(f, out)
        out.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
