"""Making a backup: one consistent look at the database, the settings and the secret key, in one file."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import make_url

from pipeline import __version__
from pipeline.backup import manifest
from pipeline.backup.manifest import Manifest, Moved
from pipeline.errors import ConfigError, PodsiftError, UsageError
from pipeline.settings import Settings
from pipeline.store import database
from pipeline.store.copy import copy
from pipeline.store.database import Database

Told = Callable[[str, int, int], None]
"""(what, done, total)."""


def write(settings: Settings, config: Path | None, target: Path, now: datetime, told: Told | None = None) -> Manifest:
    """Write a backup to `target`, which must not be there yet. Work goes on meanwhile.

    SQLite's own backup is a moment's copy. Of PostgreSQL all tables are read in one REPEATABLE READ transaction, into
    an SQLite file too: so a backup of either can be restored to either. Readable by its owner alone, complete or
    absent. Raises UsageError, ConfigError, PodsiftError.
    """
    if target.exists():
        raise UsageError(f"{target} exists already", hint="give another name; a backup never replaces a file")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}", hint="make it, or give another name")
    with _workplace(target.parent) as folder:
        copied = folder / manifest.DATABASE
        if settings.on_postgres:
            _from_postgres(settings, copied, told)
        else:
            _from_sqlite(settings, copied, told)
        if config is not None:
            _put(folder / manifest.CONFIG, config.read_bytes())
        if settings.secret_key is not None:
            _put(folder / manifest.KEY, settings.secret_key.get_secret_value().encode())
        tables, schema = look(copied)
        files = {name: manifest.sha256(folder / name) for name in manifest.MEMBERS if (folder / name).exists()}
        kind = "postgresql" if settings.on_postgres else "sqlite"
        made = Manifest(__version__, schema, kind, now, tables, files)
        packed = folder / "packed"
        _pack(made, folder, packed, told)
        again = folder / "again"
        again.mkdir(mode=0o700)
        if manifest.unpack(packed, again, _moved(told, "check", made)) != made:
            raise PodsiftError("The backup does not read back as it was written", hint="check the disk")
        try:
            os.link(packed, target)  # fails when somebody made the file meanwhile, where a rename would replace it
        except FileExistsError:
            raise UsageError(f"{target} exists already", hint="give another name") from None
    return made


def look(path: Path) -> tuple[dict[str, int], str]:
    """Rows of each table of ours and the schema's revision of an SQLite file that is whole. Raises PodsiftError."""
    from pipeline.store.tables import metadata

    with closing(sqlite3.connect(path)) as conn:
        said = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            raise PodsiftError("The database's copy is damaged", why=str(said)[:200], hint="check the disk")
        there = {r[0] for r in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in there:
            raise ConfigError("The database has no schema of podsift", hint="podsift db status says where it is")
        names = sorted(there & set(metadata.tables))
        counts = {n: int(conn.execute(f'SELECT count(*) FROM "{n}"').fetchone()[0]) for n in names}  # noqa: S608
        (schema,) = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    return counts, str(schema)


def _from_sqlite(settings: Settings, copied: Path, told: Told | None) -> None:
    source = Path(make_url(settings.database_url).database or "")
    if not source.is_file():
        raise ConfigError(f"There is no database at {source}", hint="podsift config show says which data_dir is used")

    def progress(_status: int, left: int, total: int) -> None:
        if told:
            told("database", total - left, total)

    try:
        with closing(sqlite3.connect(source, timeout=30)) as old, closing(sqlite3.connect(copied)) as new:
            # One step holds one moment; in write-ahead mode nobody waits for it.
            old.backup(new, pages=-1, progress=progress)
            new.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as e:
        raise PodsiftError("The database cannot be copied", why=str(e), hint="check the disk's free space") from e
    copied.chmod(0o600)


def _from_postgres(settings: Settings, copied: Path, told: Told | None) -> None:
    source = Database(settings.database_url)
    try:
        if database.version(source) != database.head():
            raise ConfigError(
                f"The database's schema is {database.version(source)}, this podsift wants {database.head()}",
                hint="back up with the version that works on it, or run podsift db upgrade first",
            )
        target = database.open_url(f"sqlite:///{copied}")
        try:
            copy(source, target, told)
        finally:
            target.close()
    finally:
        source.close()
    with closing(sqlite3.connect(copied)) as conn:
        conn.execute("PRAGMA journal_mode=DELETE")
    copied.chmod(0o600)


def _pack(made: Manifest, folder: Path, packed: Path, told: Told | None) -> None:
    moved = _moved(told, "pack", made)
    with manifest.private(packed) as out, tarfile.open(fileobj=out, mode="w:gz", compresslevel=6) as tar:
        text = made.text()
        tar.addfile(_info(manifest.NAME, len(text), made.made_at), io.BytesIO(text))
        for name, member in made.files.items():
            with (folder / name).open("rb") as f:
                tar.addfile(_info(name, member.bytes, made.made_at), f)
            if moved:
                moved(member.bytes)
    with packed.open("rb") as f:
        os.fsync(f.fileno())


def _info(name: str, size: int, at: datetime) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(at.timestamp())
    return info


def _moved(told: Told | None, what: str, made: Manifest) -> Moved | None:
    if told is None:
        return None
    total, done = sum(m.bytes for m in made.files.values()), 0

    def moved(n: int) -> None:
        nonlocal done
        done += n
        told(what, done, total)

    return moved


def _put(path: Path, content: bytes) -> None:
    with manifest.private(path) as f:
        f.write(content)


@contextmanager
def _workplace(parent: Path) -> Iterator[Path]:
    """A folder of ours on the target's own disk, so that the finished file can be linked into place."""
    folder = Path(tempfile.mkdtemp(prefix=".podsift-backup-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
