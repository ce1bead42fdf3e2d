"""Log lines carry the ids of what they are about, in text and JSON, and no secret in any form."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from pipeline import logs
from pipeline.clock import FixedClock
from pipeline.engine.step import Done, Stage, step
from pipeline.settings import Settings, keys, load
from pipeline.store.database import Database
from tests.fakes.rows import add_episode

SECRETS = {
    "PODSIFT_SECRET_KEY": "k2:new-secret-key-of-tests,k1:old-secret-key-of-tests",
    "PODSIFT_DATABASE_URL": "postgresql://podsift:pass%2Fword-of-tests@db/podsift",
    "PODSIFT_LLM_API_KEY": "api-key-of-tests",
    "PODSIFT_SMTP_PASSWORD": "smtp-password-of-tests",
    "PODSIFT_SMTP_DKIM_KEY": "-----BEGIN PRIVATE KEY-----\nMIIdkimline1\nMIIdkimline2\n-----END PRIVATE KEY-----",
    "PODSIFT_BOUNCE_IMAP_PASSWORD": "imap-password-of-tests",
    "PODSIFT_BOUNCE_WEBHOOK_TOKEN": "bounce-webhook-token-of-tests",
    "PODSIFT_WEB_OPERATOR_TOKEN": "operator-token-of-tests",
}
PIECES = (
    "new-secret-key-of-tests",
    "old-secret-key-of-tests",
    "pass%2Fword-of-tests",
    "pass/word-of-tests",
    "api-key-of-tests",
    "smtp-password-of-tests",
    "MIIdkimline1",
    "MIIdkimline2",
    "imap-password-of-tests",
    "operator-token-of-tests",
)


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level = root.level
    yield io.StringIO()
    root.handlers[:] = [
        h for h in root.handlers if not isinstance(h.formatter, logs.TextFormatter | logs.JsonFormatter)
    ]
    root.setLevel(level)


def configured(out: io.StringIO, **env: str) -> Settings:
    settings = load(environ=env)
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if isinstance(h.formatter, logs.TextFormatter | logs.JsonFormatter)]
    logs.configure(settings)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(out)
    return settings


def test_every_secret_of_the_settings_is_known() -> None:
    from pydantic import SecretStr

    from pipeline.settings import Settings as All

    secret = set()
    for name, path in keys().items():
        info = All.model_fields[path[0]]
        if len(path) == 2:
            info = info.annotation.model_fields[path[1]]  # type: ignore[union-attr]
        if SecretStr in getattr(info.annotation, "__args__", (info.annotation,)):
            secret.add(name)
    assert secret <= set(SECRETS), "a new secret needs a value in this test"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_logged(form: str, out: io.StringIO) -> None:
    configured(out, PODSIFT_LOG_FORMAT=form, **SECRETS)
    log = logging.getLogger("somewhere.deep")
    for value in (*SECRETS.values(), *PIECES):
        log.warning("connecting with %s", value)
        try:
            raise ValueError(f"bad {value}")
        except ValueError:
            log.exception("it broke")
    text = out.getvalue()
    assert text.count(logs.HIDDEN) >= len(PIECES)
    assert [p for p in PIECES if p in text] == []


def test_a_line_is_about_something(out: io.StringIO, sqlite: Database, clock: FixedClock) -> None:
    configured(out, PODSIFT_LOG_FORMAT="json")
    with sqlite.begin() as conn:
        i = add_episode(conn, clock.now())

    def run(_id: int) -> Done:
        logging.getLogger("x").warning("within\nthe stage")
        raise ValueError("broken")

    with logs.about(job=7):
        thread = threading.Thread(target=lambda: logging.getLogger("x").warning("another thread"))
        thread.start()
        thread.join()
        step(sqlite, clock, Stage("download", run, "done", 1, 1), i)
    logging.getLogger("x").warning("after", extra={"feed": 3})
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    within = next(x for x in lines if x["message"].startswith("within"))
    assert (within["episode"], within["stage"], within["job"]) == (i, "download", 7)
    broke = next(x for x in lines if "exception" in x)
    assert broke["episode"] == i and "ValueError: broken" in broke["exception"]
    other = next(x for x in lines if x["message"] == "another thread")
    assert "job" not in other and other["level"] == "warning" and other["at"].endswith("+00:00")
    assert lines[-1]["feed"] == 3 and "episode" not in lines[-1]


def test_text_lines_cannot_be_forged(out: io.StringIO) -> None:
    configured(out)
    with logs.about(episode=3, stage="extract"):
        logging.getLogger("x").warning("a title with\n2026-11-24 ERROR a second line")
    (line,) = out.getvalue().splitlines()
    assert line.endswith("a second line [episode=3 stage=extract]")


def test_configuring_again_adds_no_second_handler(out: io.StringIO) -> None:
    configured(out)
    configured(out, PODSIFT_LOG_FORMAT="json")
    logging.getLogger("x").info("once")
    assert len(out.getvalue().splitlines()) == 1
