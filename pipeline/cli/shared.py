"""What commands share: settings and database opened on demand, tables and JSON out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from pipeline import logs
from pipeline import settings as settings_module
from pipeline.clock import Clock, SystemClock, iso_z
from pipeline.settings import Settings
from pipeline.store.database import Database, open_database

F = TypeVar("F", bound=Callable[..., Any])
console = Console()


class App:
    """Carried through click's context."""

    def __init__(self, config: Path | None):
        self.config = config
        self.clock: Clock = SystemClock()

    @cached_property
    def settings(self) -> Settings:
        found = settings_module.load(self.config)
        logs.configure(found)
        return found

    @property
    def config_path(self) -> Path | None:
        """The file that the settings are read from; None when there is none."""
        return settings_module.config_path(self.config)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database with its schema up to date; closed at the end."""
        db = open_database(self.settings)
        try:
            yield db
        finally:
            db.close()


def json_option(f: F) -> F:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(f)


def plain(value: Any) -> Any:
    """Values as JSON has them: times as UTC with a Z, bytes left out."""
    if isinstance(value, datetime):
        return iso_z(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not isinstance(v, bytes)}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, indent=1))


def print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], empty: str, as_json: bool) -> None:
    """A table for people, or all columns as JSON."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[c]) for c in columns))
    console.print(table, markup=False)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.strftime("%Y-%m-%d %H:%M") if isinstance(value, datetime) else str(value)


def print_row(row: dict[str, Any], as_json: bool) -> None:
    """One thing with all its fields."""
    if as_json:
        print_json(row)
        return
    width = max(len(k) for k in row)
    for key, value in row.items():
        if not isinstance(value, bytes):
            click.echo(f"{key.replace('_', ' '):{width}}  {_cell(value)}")
