"""Markdown files in a folder, one a day: a vault of notes, a synchronised folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.channel.base import Fate, Place, Post
from pipeline.channel.markdown import as_markdown, file_name
from pipeline.errors import UsageError
from pipeline.records import DigestIssue
from pipeline.settings import Settings


class Folder:
    """Writes the same file under the same name, whole or not at all."""

    repeatable = True

    def place(self, address: str, settings: Settings) -> Place:
        path = Path(address.removeprefix("folder:")).expanduser()
        if not path.is_absolute() or not path.is_dir():
            raise UsageError(f"{path} is not a folder that is there", hint="make it first, and give its whole path")
        if not os.access(path, os.W_OK):
            raise UsageError(f"{path} cannot be written to", hint="give it to the user that podsift runs as")
        return Place({"path": str(path)}, f"folder:{path}")

    def body(self, issue: DigestIssue, digest_id: int, settings: Settings) -> str:
        return json.dumps({"name": file_name(issue.local_date), "text": as_markdown(issue, settings)})

    def post(self, secrets: Mapping[str, str], post: Post, settings: Settings) -> Fate:
        wanted = json.loads(post.body)
        try:
            write(Path(secrets["path"]) / wanted["name"], wanted["text"])
        except OSError as e:
            return Fate("later", f"{type(e).__name__}: {e.strerror or e}")
        return Fate("sent", wanted["name"])


def write(path: Path, text: str) -> None:
    """Put a file in place whole. A crash leaves the former one, or none. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="\n") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    part.replace(path)
