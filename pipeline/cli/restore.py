"""`podsift restore`: an installation out of a backup."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pipeline.backup import restore as restoring
from pipeline.backup.manifest import Manifest
from pipeline.cli.backup import bars
from pipeline.cli.shared import App, json_option, print_json
from pipeline.clock import iso_z
from pipeline.errors import UsageError


@click.command()
@click.argument("given", metavar="FILE")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="A new or empty folder for the installation.")
@click.option("--check", is_flag=True, help="Read the backup to its end, its database too, and restore nothing.")
@click.option("--database", "url", metavar="URL", help="Rows go to this empty PostgreSQL database, not to SQLite.")
@click.option(
    "--keep-mails", is_flag=True, help="Nothing was sent since the backup: mails that waited are sent, not held."
)
@click.option("--without-config", is_flag=True, help="Do not restore podsift.toml and the secret key.")
@json_option
@click.pass_obj
def restore(
    app: App,
    given: str,
    folder: Path | None,
    check: bool,
    url: str | None,
    keep_mails: bool,
    without_config: bool,
    as_json: bool,
) -> None:
    """Make an installation of a backup in a new folder; - reads it from stdin.

    Every sha256 and the rows of every table are checked first.

    What was sent after the backup is not known to it: mails that waited are held as uncertain (podsift outbox list),
    digests that fell due since are skipped.
    """
    if check == (folder is not None):
        raise UsageError("Give either --to FOLDER or --check", hint=f"podsift restore {given} --to NEW-FOLDER")
    with source_of(given, folder) as source:
        _restore(app, source, folder, check, url, keep_mails, without_config, as_json)


@contextmanager
def source_of(given: str, folder: Path | None) -> Iterator[Path]:
    """The file itself, or what comes from stdin, in a file on the disk that it will be restored to."""
    if given != "-":
        yield Path(given)
        return
    beside = folder.absolute().parent if folder is not None and folder.absolute().parent.is_dir() else None
    with tempfile.NamedTemporaryFile(prefix=".podsift-restore-", dir=beside) as f:
        shutil.copyfileobj(sys.stdin.buffer, f)
        f.flush()
        yield Path(f.name)


def _restore(
    app: App,
    source: Path,
    folder: Path | None,
    check: bool,
    url: str | None,
    keep_mails: bool,
    without_config: bool,
    as_json: bool,
) -> None:
    if check:
        with bars(as_json) as told:
            found = restoring.check(source, told)
        _say(found, as_json, {"ok": True})
        return
    assert folder is not None
    with bars(as_json) as told:
        done = restoring.restore(
            source,
            folder,
            app.clock.now(),
            database_url=url,
            keep_mails=keep_mails,
            with_config=not without_config,
            told=told,
        )
    more = {"folder": str(folder.absolute()), "schema_now": done.schema, "held": done.held, "skipped": done.skipped}
    _say(done.manifest, as_json, more)
    if as_json:
        return
    if done.held:
        click.echo(
            f"{done.held} mails waited when it was made and are held: podsift outbox list, podsift outbox resolve ID"
        )
    if done.skipped:
        click.echo(f"{done.skipped} digests fell due since then and are skipped; the next ones come at their hours.")
    if not done.manifest.files.get("secret_key") and not without_config:
        click.echo(
            "It holds no secret key: links in mails that were sent, and sealed credentials, open with the old one only."
        )
    click.echo(f"cd {folder} && podsift doctor && podsift up")


def _say(found: Manifest, as_json: bool, more: dict[str, object]) -> None:
    if as_json:
        rows = dict(found.tables)
        print_json({"made_at": found.made_at, "schema": found.schema, "database": found.database, "rows": rows} | more)
        return
    click.echo(
        f"A backup of {iso_z(found.made_at)} by podsift {found.podsift}, schema {found.schema}, {found.database}: "
        f"{sum(found.tables.values())} rows in {len(found.tables)} tables, every sha256 is right"
    )
