"""`podsift config`: settings as they are in force."""

from __future__ import annotations

import json

import click
from pydantic import SecretStr

from pipeline.cli.shared import App, json_option, print_json
from pipeline.settings import Section


def as_toml(value: object) -> str:
    """A setting's value as it would stand in podsift.toml."""
    # TOML's strings, numbers, booleans and arrays of these are written as JSON's are.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False, default=str)


@click.group()
def config() -> None:
    """Settings as they are in force."""


@config.command()
@json_option
@click.pass_obj
def show(app: App, as_json: bool) -> None:
    """Every setting with its value, its variable and what it is for; secrets stay hidden."""
    values: dict[str, object] = {}
    lines: list[str] = []

    def walk(section: Section, path: tuple[str, ...]) -> None:
        for name, info in type(section).model_fields.items():
            value = getattr(section, name)
            if isinstance(value, Section):
                lines.append(f"\n[{name}]")
                walk(value, (*path, name))
                continue
            shown = "(set)" if isinstance(value, SecretStr) else str(value) if hasattr(value, "parts") else value
            values[".".join((*path, name))] = shown
            line = f"# {name} is not set" if shown is None else f"{name} = {as_toml(shown)}"
            lines.append(f"{line:<48} # PODSIFT_{'_'.join((*path, name)).upper()}: {info.description}")

    walk(app.settings, ())
    if as_json:
        print_json(values)
    else:
        click.echo("\n".join(lines))
