"""`podsift init`: a commented podsift.toml with a secret key."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from pipeline.errors import UsageError
from pipeline.settings import CONFIG_NAME, Section, Settings


def commented(secret_key: str) -> str:
    """The text of a new podsift.toml: every setting, commented out at its default, but for the key."""
    lines = ["# Podsift's settings. A line that begins with # shows the default.", ""]
    sections: list[tuple[str, type[Section]]] = []
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            sections.append((name, kind))
            continue
        lines.append(f"# {info.description}")
        lines.append(f'secret_key = "{secret_key}"' if name == "secret_key" else f"# {name} = {_toml(info.default)}")
    for name, kind in sections:
        lines += ["", f"[{name}]"]
        for key, info in kind.model_fields.items():
            lines += [f"# {info.description}", f"# {key} = {_toml(info.default)}"]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, tuple):
        return "[]"
    return f'"{value}"' if value is not None else '""'


@click.command()
@click.option("--force", is_flag=True, help="Replace a file that is there (its secret key is lost).")
def init(force: bool) -> None:
    """Write podsift.toml here, with a secret key, readable by you alone."""
    path = Path(CONFIG_NAME)
    if path.exists() and not force:
        raise UsageError(f"{path.absolute()} exists already", hint="podsift init --force replaces it")
    # The id in front lets a second key be put before this one later, while old links still open.
    text = commented(f"k1:{secrets.token_urlsafe(32)}")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as f:
        f.write(text)
    click.echo(
        f"wrote {path.absolute()}\nnext: podsift feed add URL, podsift subscriber add YOU@EXAMPLE.ORG, podsift up"
    )
