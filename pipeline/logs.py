"""Logs on stderr: a line each, as text or JSON, with the ids of what is worked on, and never a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from pipeline.settings import Settings

IDS = ("feed", "episode", "job", "stage", "subscriber", "mail")
"""What a line may be about; in JSON each is a field of its own."""
NOISY = ("httpx", "httpcore", "faster_whisper", "alembic", "apscheduler", "procrastinate")
SHORTEST = 6
"""Shorter secrets are not looked for: they occur in words."""
HIDDEN = "***"
_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 - replaced, never changed


@contextmanager
def about(**ids: Any) -> Iterator[None]:
    """Every line that this thread (or task) logs within is about these ids: `about(episode=3, stage="extract")`."""
    before = _about.set(_about.get() | ids)
    try:
        yield
    finally:
        _about.reset(before)


def secrets_of(settings: BaseModel) -> list[str]:
    """The values that must not be shown, longest first: whole ones, and the parts that are secrets by themselves."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            found |= set(secrets_of(value))
        elif isinstance(value, SecretStr):
            found |= set(_parts(value.get_secret_value()))
    return sorted((s for s in found if len(s) >= SHORTEST), key=len, reverse=True)


def _parts(secret: str) -> Iterator[str]:
    yield secret
    yield from (line for line in secret.splitlines() if line and not line.startswith("-----"))
    for pair in secret.split(","):
        key_id, colon, key = pair.partition(":")
        if colon and len(key_id) <= 20 and "/" not in key:
            yield key.strip()
    if "://" in secret:
        password = urlsplit(secret).password
        if password:
            yield password
            yield unquote(password)


class _Formatter(logging.Formatter):
    """What both forms share: the ids, and secrets replaced after everything else, tracebacks included."""

    def __init__(self, hidden: list[str]):
        super().__init__()
        self._hidden = hidden

    def clean(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return text

    @staticmethod
    def ids(record: logging.LogRecord) -> dict[str, Any]:
        given = {name: record.__dict__[name] for name in IDS if name in record.__dict__}
        return {k: v for k, v in (_about.get() | given).items() if k in IDS}


class TextFormatter(_Formatter):
    """`2026-11-24 07:00:00,000 INFO pipeline.x: words [episode=3 stage=extract]`."""

    def format(self, record: logging.LogRecord) -> str:
        record = logging.makeLogRecord(record.__dict__)
        record.msg, record.args = " ".join(record.getMessage().splitlines()), None
        about_ = " ".join(f"{k}={v}" for k, v in self.ids(record).items())
        head = f"{self.formatTime(record)} {record.levelname} {record.name}: "
        return self.clean(head + self._rest(record, f" [{about_}]" if about_ else ""))

    def _rest(self, record: logging.LogRecord, about_: str) -> str:
        trace = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        return f"{record.msg}{about_}{trace}"


class JsonFormatter(_Formatter):
    """One JSON object a line: at, level, logger, message, the ids, and `exception` with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.clean(record.getMessage()),
        } | self.ids(record)
        if record.exc_info:
            line["exception"] = self.clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(settings: Settings) -> None:
    """Logs of this process to stderr, as `log_level` and `log_format` say. Again changes the form only."""
    root = logging.getLogger()
    made: type[_Formatter] = JsonFormatter if settings.log_format == "json" else TextFormatter
    ours = [h for h in root.handlers if isinstance(h.formatter, _Formatter)]
    handler = ours[0] if ours else logging.StreamHandler()
    handler.setFormatter(made(secrets_of(settings)))
    if not ours and not root.handlers:
        root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
