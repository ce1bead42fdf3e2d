"""podsift.toml of a backup, made to fit where it is restored: its comments stay, three things change."""

from __future__ import annotations

import json
import re
import tomllib

from pipeline.errors import ParseError

_TABLE = re.compile(r"^\s*\[")
_DATABASE = re.compile(r"^\s*\[\s*database\s*\]")
_OURS = re.compile(r"^\s*(data_dir|secret_key)\s*=")


def fitted(text: str, secret_key: str | None, database_url: str | None) -> str:
    """The same settings with this key, the data beside the file, and this database (None: SQLite).

    The old address must not stay: a copy that is started beside the original would work on the original's database.
    Raises ParseError when the text cannot be changed safely.
    """
    try:
        before = tomllib.loads(text)
        after = "\n".join(_lines(text, secret_key, database_url)) + "\n"
        made = tomllib.loads(after)
    except tomllib.TOMLDecodeError as e:
        raise ParseError("The backup's podsift.toml cannot be read", why=str(e)) from e
    wanted = {k: v for k, v in before.items() if k not in ("data_dir", "secret_key", "database")}
    if secret_key:
        wanted["secret_key"] = secret_key
    if database_url:
        wanted["database"] = {"url": database_url}
    if made != wanted:
        raise ParseError(
            "The backup's podsift.toml is written in a way that cannot be changed safely",
            hint="unpack it with tar -xzf FILE podsift.toml, and restore the rest with --without-config",
        )
    return after


def _lines(text: str, secret_key: str | None, database_url: str | None) -> list[str]:
    kept: list[str] = []
    table: str | None = None
    for line in text.splitlines():
        if _TABLE.match(line):
            table = "database" if _DATABASE.match(line) else "other"
        if table == "database" or (table is None and _OURS.match(line)):
            continue
        kept.append(line)
    if secret_key:
        kept.insert(0, f"secret_key = {json.dumps(secret_key)}")
    if database_url:
        kept += ["", "[database]", f"url = {json.dumps(database_url)}"]
    return kept
