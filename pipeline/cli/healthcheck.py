"""`podsift healthcheck`: a quick yes or no for containers and supervisors; `podsift doctor` looks further."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.cli.shared import App, json_option, print_json
from pipeline.errors import PodsiftError
from pipeline.settings import Settings
from pipeline.store import health
from pipeline.store.database import Database, head, version

SILENT_S = 60.0
"""A clock or worker that has not spoken to the database for so long hangs; a worker's heartbeat is every 10 s."""
PAGE_S = 5.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Result = tuple[bool, str]


def _loopback(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        fine = parts.scheme == "http" and parts.hostname in LOOPBACK and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise click.BadParameter("must be a page of this machine, such as http://127.0.0.1:8080/health")
    return value


@click.command()
@click.option("--running", is_flag=True, help="Require that the clock, worker or `up` of this machine is at work.")
@click.option("--url", callback=_loopback, help="Require that this page of this machine answers 200.")
@click.option("--only-url", is_flag=True, help="Ask for the page alone, not the database.")
@json_option
@click.pass_obj
def healthcheck(app: App, running: bool, url: str | None, only_url: bool, as_json: bool) -> int:
    """Exit 0 when the database answers with this version's schema, else 1. Changes nothing, creates nothing."""
    results: dict[str, Result] = {}
    if only_url and url is None:
        raise click.UsageError("--only-url needs --url")
    try:
        settings = app.settings
        if not only_url:
            results["schema"] = check_schema(settings)
        if running and not only_url:
            results["running"] = _tried(lambda: check_running(settings))
    except PodsiftError as e:
        results["settings"] = False, str(e)
    if url is not None:
        results["page"] = check_page(url)
    if as_json:
        print_json({name: {"ok": ok, "says": says} for name, (ok, says) in results.items()})
    else:
        for name, (ok, says) in results.items():
            click.echo(f"{'ok' if ok else 'bad':4} {name:9} {says}")
    return 0 if all(ok for ok, _ in results.values()) else 1


def _tried(check: Callable[[], Result]) -> Result:
    try:
        return check()
    except SQLAlchemyError as e:
        # The cause alone: SQLAlchemy's own text repeats the statement.
        return False, f"the database did not answer: {str(getattr(e, 'orig', None) or e).strip()}"


def check_schema(settings: Settings) -> Result:
    """Whether the database is there and has the schema of this code."""
    file = None if settings.on_postgres else make_url(settings.database_url).database
    if file is not None and not Path(file).is_file():
        return False, f"there is no database at {file}"

    def look() -> Result:
        db = Database(settings.database_url)
        try:
            at = version(db)
        finally:
            db.close()
        return at == head(), f"{at or 'none'}" + ("" if at == head() else f", this podsift wants {head()}")

    return _tried(look)


def check_running(settings: Settings) -> Result:
    """Whether this machine's clock or worker speaks to PostgreSQL; on SQLite, whether the folder's process lives.

    Containers count as machines as long as each has an address of its own.
    """
    if not settings.on_postgres:
        return _holder(settings.data_dir / "podsift.lock")
    db = Database(settings.database_url)
    try:
        with db.engine.connect() as conn:
            quiet = health.silence_s(conn)
    finally:
        db.close()
    if quiet is None:
        return False, "no other process of this machine is connected to the database"
    return quiet <= SILENT_S, f"last spoke to the database {quiet:.0f} s ago"


def _holder(lock: Path) -> Result:
    try:
        pid = int(lock.read_text("ascii"))
        if pid <= 0:
            raise ValueError(pid)
        os.kill(pid, 0)
    except PermissionError:
        return True, "another user's process holds the data folder"
    except (OSError, ValueError):
        return False, "no process holds the data folder"
    return True, f"process {pid} holds the data folder"


def check_page(url: str) -> Result:
    """Whether a page of this machine answers 200 within a few seconds. No proxy, no redirect."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    conn = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=PAGE_S)
    try:
        conn.request("GET", path, headers={"User-Agent": "podsift-healthcheck"})
        status = conn.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as e:
        return False, f"{url} did not answer: {type(e).__name__}"
    finally:
        conn.close()
    return status == 200, f"{url} answered {status}"
