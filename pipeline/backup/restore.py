"""A backup becomes an installation in a new folder, or in an empty PostgreSQL database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.backup import manifest
from pipeline.backup.config_text import fitted
from pipeline.backup.manifest import Manifest
from pipeline.backup.write import Told, look
from pipeline.errors import ParseError, UsageError
from pipeline.settings import CONFIG_NAME, Settings
from pipeline.store import database
from pipeline.store.copy import copy
from pipeline.store.restored import settle

DATA = "podsift-data"
"""The default of data_dir, beside podsift.toml."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it. `held` mails wait for a word, `skipped` digests of the past are not made."""

    manifest: Manifest
    schema: str
    config: Path | None
    held: int
    skipped: int


def check(source: Path, told: Told | None = None) -> Manifest:
    """Read a backup to its end, its database too, and keep nothing. Raises ParseError, UsageError."""
    with _unpacked(source, Path(tempfile.gettempdir()), told) as (_, made):
        return made


def restore(
    source: Path,
    folder: Path,
    now: datetime,
    *,
    database_url: str | None = None,
    keep_mails: bool = False,
    with_config: bool = True,
    told: Told | None = None,
) -> Restored:
    """Make an installation of a backup in `folder`, which must be new or empty.

    What was sent after the backup was made is not known to it. So a mail that waited then becomes `uncertain`, for a
    person to decide, and digests that fell due since are skipped; `keep_mails` leaves both as they were. A backup of
    an older version is brought up to date. Raises UsageError, ParseError, ConfigError, PodsiftError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty", hint="a restore never replaces anything: give a new folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _unpacked(source, folder, told) as (unpacked, made):
        text = _config(unpacked, database_url) if with_config else None
        data = folder / DATA
        data.mkdir(mode=0o700)
        fresh = database.open_url(f"sqlite:///{unpacked / manifest.DATABASE}")  # which brings its schema up to date
        try:
            if database_url is not None:
                target = database.open_url(_sqlalchemy(database_url))
                try:
                    copy(fresh, target, told)
                    with target.begin() as conn:
                        held, skipped = (0, 0) if keep_mails else settle(conn, now, made.made_at)
                finally:
                    target.close()
            else:
                with fresh.begin() as conn:
                    held, skipped = (0, 0) if keep_mails else settle(conn, now, made.made_at)
        finally:
            fresh.close()
        if database_url is None:
            (unpacked / manifest.DATABASE).rename(data / manifest.DATABASE)
        config = folder / CONFIG_NAME if text is not None else None
        if config is not None and text is not None:
            with manifest.private(config) as f:
                f.write(text.encode())
    return Restored(made, database.head(), config, held, skipped)


def _sqlalchemy(url: str) -> str:
    from pydantic import SecretStr, ValidationError

    from pipeline.settings import DatabaseSettings

    try:
        wanted = Settings(database=DatabaseSettings(url=SecretStr(url)))  # type: ignore[call-arg]
    except ValidationError as e:
        why = e.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError("That is no address of a database", why=why) from None
    return wanted.database_url


def _config(unpacked: Path, database_url: str | None) -> str:
    path, key = unpacked / manifest.CONFIG, unpacked / manifest.KEY
    text = (
        path.read_text("utf-8", "strict")
        if path.exists()
        else "# Restored from a backup of an installation whose\n# settings stood in variables of the environment.\n"
    )
    return fitted(text, key.read_text("utf-8") if key.exists() else None, database_url)


@contextmanager
def _unpacked(source: Path, beside: Path, told: Told | None) -> Iterator[tuple[Path, Manifest]]:
    """The files of a backup and its manifest, with every sha256 and the number of every table's rows checked."""
    if not source.is_file():
        raise UsageError(f"There is no file {source}")
    size, done = source.stat().st_size, 0

    def moved(n: int) -> None:
        nonlocal done
        done += n
        if told:
            told("read", done, max(done, size))

    folder = Path(tempfile.mkdtemp(prefix=".podsift-restore-", dir=beside))
    try:
        made = manifest.unpack(source, folder, moved)
        rows, schema = look(folder / manifest.DATABASE)
        wrong = {
            n: (made.tables.get(n), rows.get(n)) for n in rows | dict(made.tables) if made.tables.get(n) != rows.get(n)
        }
        if wrong or schema != made.schema:
            raise ParseError(f"{source} is damaged", why=f"its tables are not as its manifest says: {sorted(wrong)}")
        yield folder, made
    finally:
        shutil.rmtree(folder, ignore_errors=True)
