"""What a backup says of itself, and the reading of a file that may be damaged, or no backup at all."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import ParseError, UsageError

FORMAT = 1
NAME = "manifest.json"
DATABASE = "podsift.db"
CONFIG = "podsift.toml"
KEY = "secret_key"
MEMBERS = (DATABASE, CONFIG, KEY)
MAX_MANIFEST = 1_000_000
MAX_TEXT = 1_000_000
"""Of podsift.toml and the key."""
_CHUNK = 1 << 20
Moved = Callable[[int], None]
"""Told how many bytes were moved since the last call."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the backup: its bytes, and the sha256 of its content."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`database` is what the installation ran on; `tables` are the rows of each table; `files` by name."""

    podsift: str
    schema: str
    database: str
    made_at: datetime
    tables: Mapping[str, int]
    files: Mapping[str, Member]

    def text(self) -> bytes:
        """As it stands in the backup."""
        values = asdict(self) | {"format": FORMAT, "made_at": self.made_at.isoformat()}
        return json.dumps(values, indent=1, sort_keys=True).encode()


def read(raw: bytes) -> Manifest:
    """Raises ParseError when it is none of ours, UsageError when it is of a later format."""
    try:
        values: Any = json.loads(raw)
        if values["format"] != FORMAT:
            raise UsageError(
                f"The backup has format {values['format']}, this podsift knows {FORMAT}",
                hint="restore it with the version that made it",
            )
        made_at = datetime.fromisoformat(values["made_at"])
        files = {name: Member(int(m["bytes"]), str(m["sha256"])) for name, m in values["files"].items()}
        tables = {str(name): int(rows) for name, rows in values["tables"].items()}
        found = Manifest(values["podsift"], values["schema"], values["database"], made_at, tables, files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ParseError("The backup's manifest cannot be read", why="the file is damaged, or no backup") from e
    if made_at.tzinfo is None or set(files) - set(MEMBERS) or DATABASE not in files:
        raise ParseError("The backup's manifest cannot be read", why="it names other files than a backup has")
    return found


def sha256(path: Path) -> Member:
    """Size and digest of a file."""
    with path.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256")
        return Member(f.tell(), digest.hexdigest())


def unpack(source: Path, into: Path, moved: Moved | None = None) -> Manifest:
    """Every file of a backup below `into`, each checked; or ParseError, and nothing to be trusted there.

    Names are compared with the few that there are and never used as paths, links and folders are no members of a
    backup, and no more bytes are written than the manifest tells.
    """
    try:
        with tarfile.open(source, "r|gz") as tar:
            first = tar.next()
            if first is None or first.name != NAME or not first.isreg() or first.size > MAX_MANIFEST:
                raise ParseError(f"{source} is no backup of podsift", why="it does not begin with a manifest")
            stream = tar.extractfile(first)
            assert stream is not None
            manifest = read(stream.read())
            left = dict(manifest.files)
            while (member := tar.next()) is not None:
                told = left.pop(member.name, None)
                small = member.name == DATABASE or member.size <= MAX_TEXT
                if told is None or not member.isreg() or member.size != told.bytes or not small:
                    raise ParseError(f"{source} is damaged", why=f"its manifest does not fit {member.name[:60]!r}")
                stream = tar.extractfile(member)
                assert stream is not None
                if _write(stream, into / member.name, moved) != told.sha256:
                    raise ParseError(f"{source} is damaged", why=f"the sha256 of {member.name} differs")
    except (tarfile.TarError, EOFError, OSError) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise  # the disk's trouble, not the file's
        raise ParseError(f"{source} cannot be read", why="it is cut short, damaged or no backup") from e
    except zlib.error as e:
        raise ParseError(f"{source} cannot be read", why="its compression is damaged") from e
    if left:
        raise ParseError(f"{source} is damaged", why=f"{', '.join(sorted(left))} is not in it")
    return manifest


def _write(stream: Any, path: Path, moved: Moved | None) -> str:
    digest = hashlib.sha256()
    with private(path) as f:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            f.write(chunk)
            if moved:
                moved(len(chunk))
    return digest.hexdigest()


def private(path: Path) -> BinaryIO:
    """A new file that its owner alone can read. Raises FileExistsError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
