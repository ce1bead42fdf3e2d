"""Writes docs/commands.md and docs/settings.md from the code itself; a guard test holds them to it.

python -m bench.reference            # after a command, an option or a setting was changed
python -m bench.reference commands   # to look at, nothing is written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import SecretStr

from pipeline.cli.config import as_toml
from pipeline.cli.main import podsift
from pipeline.settings import Section, Settings

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100


def commands() -> str:
    """The help of every command, as Markdown."""
    text = "# Commands\n\nWritten from the code by `python -m bench.reference`: what each command says with `--help`.\n"
    root = click.Context(podsift, info_name="podsift", terminal_width=WIDTH, **podsift.context_settings)
    for path, context in walk(podsift, root):
        text += f"\n{'#' * (2 if len(path) == 1 else 3)} podsift {' '.join(path)}\n\n```\n{context.get_help()}\n```\n"
    return text


def walk(
    group: click.Group, context: click.Context, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Context]]:
    """Every command below a group, with the context that its help is printed in."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context, terminal_width=WIDTH)
        yield (*path, name), inner
        if isinstance(command, click.Group):
            yield from walk(command, inner, (*path, name))


def settings() -> str:
    """Every setting with its default, its variable and what it is for, as Markdown."""
    head = (
        "# Settings\n\nWritten from the code by `python -m bench.reference`. A setting stands in `podsift.toml`, or in "
        "the environment under its\nvariable's name, or in a file that the variable with `_FILE` behind it names. "
        "`podsift config show` prints what is in force.\n"
    )
    return head + section(Settings, ())


def section(kind: type[Section], path: tuple[str, ...]) -> str:
    rows, below = "", ""
    for name, info in kind.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            below += section(inner, (*path, name))
            continue
        default = info.get_default(call_default_factory=True, validated_data={})
        shown = "" if default is None or isinstance(default, SecretStr) else f"`{as_toml(default)}`"
        variable = f"PODSIFT_{'_'.join((*path, name)).upper()}"
        rows += f"| `{name}` | {shown} | `{variable}` | {(info.description or '').replace('|', chr(92) + '|')} |\n"
    title = f"[{'.'.join(path)}]" if path else "At the top"
    return f"\n## {title}\n\n| key | default | variable | what it is for |\n|---|---|---|---|\n{rows}{below}"


def main() -> None:
    if sys.argv[1:]:
        sys.stdout.write({"commands": commands, "settings": settings}[sys.argv[1]]())
        return
    for name, text in (("commands.md", commands()), ("settings.md", settings())):
        (ROOT / "docs" / name).write_text(text, "utf-8")
        print(f"wrote docs/{name}: {len(text):,} characters")


if __name__ == "__main__":
    main()
