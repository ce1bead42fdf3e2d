"""The prompts of templates/prompts, and the one way that text from outside gets into them.

A version is the name and a hash of the files that make up a prompt: an insight says exactly how it was asked for.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, meta

from pipeline.insight.llm_base import Label, Message
from pipeline.records import Sentence
from pipeline.resources import resource

USER = "<<user>>"
"""Stands in a template where the user message begins; `shown` leaves no such thing in text from outside."""
_HARMLESS = str.maketrans(
    {"<": "‹", ">": "›", "[": "(", "]": ")", "{": "(", "}": ")", "`": "'", "|": "/", "｜": "/", "▁": "_"}
)
"""What delimits a transcript, a sentence number, JSON, or a turn in any chat template that is in use."""


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence as a prompt shows it; `gap` when sentences before it were left out."""

    number: int
    speaker: str | None
    text: str
    gap: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: `version` is its name and 12 hex digits of its files."""

    name: str
    version: str

    @property
    def label(self) -> Label:
        return Label(self.name, self.version)

    def messages(self, **values: Any) -> tuple[Message, Message]:
        """System and user message. A value that is missing is an error."""
        text = _environment().get_template(f"{self.name}.j2").render(values)
        system, user = text.split(USER)
        return Message("system", system.strip()), Message("user", user.strip())


@lru_cache(maxsize=8)
def prompt(name: str) -> Prompt:
    """The prompt of that name."""
    digest = hashlib.sha256()
    for part in sorted(_family(name)):
        digest.update(f"{part}\0{_source(part)}\0".encode())
    return Prompt(name, f"{name}-{digest.hexdigest()[:12]}")


def lines(sentences: Iterable[Sentence]) -> list[Line]:
    """Sentences for a prompt, in order."""
    found: list[Line] = []
    for sentence in sentences:
        gap = bool(found) and sentence.number != found[-1].number + 1
        found.append(Line(sentence.number, sentence.speaker, sentence.text, gap))
    return found


def shown(text: str, limit: int) -> str:
    """Text from outside as one line that can end no delimiter, begin no turn and hide nothing."""
    folded = unicodedata.normalize("NFKC", text[: 4 * limit]).translate(_HARMLESS)
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in folded)
    line = " ".join(visible.split())
    return line if len(line) <= limit else line[:limit].rsplit(" ", 1)[0] + " …"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    env = Environment(  # noqa: S701 - a prompt is plain text
        loader=FileSystemLoader(resource("templates") / "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["shown"] = shown
    return env


def _family(name: str) -> Iterator[str]:
    env, waiting = _environment(), [f"{name}.j2"]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [other for other in meta.find_referenced_templates(env.parse(_source(part))) if other]


def _source(part: str) -> str:
    env = _environment()
    assert env.loader is not None
    return env.loader.get_source(env, part)[0]
