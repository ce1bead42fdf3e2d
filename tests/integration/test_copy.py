"""`podsift db copy`: an installation on SQLite goes on, on PostgreSQL, where it was."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from pipeline.cli.main import run
from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.store import digests, episodes
from pipeline.store.copy import copy
from pipeline.store.database import Database
from pipeline.store.tables import metadata
from tests import postgres
from tests.conftest import NOW, environ_of
from tests.fakes.rows import add_episode, add_insights, add_subscriber

pytestmark = pytest.mark.postgres


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def fill(db: Database, settings: Settings) -> None:
    with db.begin() as conn:
        add_insights(conn, NOW, ["A claim with 3 numbers.", "Another claim, ünïcode 🎧."], n=1)
        add_episode(conn, NOW, show=2, n=7)
        who = add_subscriber(conn, NOW)
        build(conn, who, settings, never, NOW)


def everything(db: Database) -> dict[str, list[tuple[object, ...]]]:
    with db.begin() as conn:
        return {
            t.name: [tuple(r) for r in conn.execute(select(t).order_by(*t.primary_key.columns))]
            for t in metadata.sorted_tables
        }


def test_every_row_arrives_and_the_numbers_go_on(sqlite: Database, pg: Database, settings: Settings) -> None:
    fill(sqlite, settings)
    told: list[str] = []
    counts = copy(sqlite, pg, lambda table, _done, _total: told.append(table))
    assert everything(pg) == everything(sqlite)
    assert counts["insight"] == 2 and counts["outbox"] == 1 and "insight" in told
    with pg.begin() as conn:
        assert [w.stage for w in episodes.wakeups(conn)] == ["download"]
        assert conn.execute(text("SELECT task_name FROM procrastinate_jobs")).scalars().all() == ["download"]
        add_episode(conn, NOW, show=3, n=9)  # an id that was copied would collide
        assert digests.listed(conn)[0]["state"] == "queued"
        add_subscriber(conn, NOW, "second@example.org")


def test_a_database_with_rows_is_no_target(sqlite: Database, pg: Database, settings: Settings) -> None:
    fill(sqlite, settings)
    copy(sqlite, pg)
    with pytest.raises(UsageError, match="has rows already"):
        copy(sqlite, pg)


def test_and_back(sqlite: Database, pg: Database, pg_settings: Settings, clock: FixedClock) -> None:
    fill(pg, pg_settings)
    copy(pg, sqlite)
    assert everything(pg) == everything(sqlite)
    assert clock.now() - NOW == timedelta(0)


def test_the_command(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in environ_of(tmp_path).items():
        monkeypatch.setenv(key, value)
    assert run(["subscriber", "add", "reader@example.org"]) == 0
    capsys.readouterr()
    with postgres.database(postgres_server) as url:
        assert run(["db", "copy", "--to", url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["copied"]["subscriber"] == 1
        assert run(["db", "copy", "--to", url]) == 2
        assert "has rows already" in capsys.readouterr().err
        monkeypatch.setenv("PODSIFT_DATABASE_URL", url)
        assert run(["subscriber", "list", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["email"] == "reader@example.org"
        assert run(["db", "copy", "--to", url]) == 2
        assert "in use" in capsys.readouterr().err
        assert run(["doctor", "--json"]) in (0, 5)
        assert "PostgreSQL" in json.loads(capsys.readouterr().out)["schema"]["says"]
    monkeypatch.delenv("PODSIFT_DATABASE_URL")
    assert run(["db", "copy", "--to", "mysql://x/y"]) == 2
    assert run(["clock"]) == 2 and run(["worker"]) == 2
