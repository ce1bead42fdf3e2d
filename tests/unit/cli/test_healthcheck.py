"""`podsift healthcheck`: 0 only when what it was asked for holds, and it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from pipeline.cli.main import run
from pipeline.engine.lock import only_one
from pipeline.settings import Settings
from pipeline.store.database import Database, head, open_database
from pipeline.store.health import silence_s

Check = Callable[..., tuple[int, dict[str, dict[str, object]]]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PODSIFT_DATA_DIR", str(tmp_path / "data"))

    def call(*argv: str) -> tuple[int, dict[str, dict[str, object]]]:
        code = run(["healthcheck", "--json", *argv])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_no_database_is_bad_and_none_is_made(check: Check, tmp_path: Path) -> None:
    code, found = check()
    assert code == 1 and found["schema"]["ok"] is False
    assert not (tmp_path / "data").exists()


def test_the_schema_must_be_this_codes(check: Check, settings: Settings) -> None:
    db = open_database(settings)
    assert check() == (0, {"schema": {"ok": True, "says": head()}})
    with db.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    db.close()
    code, found = check()
    assert code == 1 and "0001" in str(found["schema"]["says"]) and head() in str(found["schema"]["says"])


def test_a_file_that_is_no_database_is_bad(check: Check, settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "podsift.db").write_text("not a database, and longer than its header would be" * 9)
    code, found = check()
    assert code == 1 and "did not answer" in str(found["schema"]["says"])


def test_settings_that_are_wrong_are_1_here(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODSIFT_SMTP_PROT", "1")
    code, found = check()
    assert code == 1 and "PODSIFT_SMTP_PROT" in str(found["settings"]["says"])


def test_running_on_sqlite_means_a_live_process(check: Check, settings: Settings) -> None:
    open_database(settings).close()
    assert check("--running")[0] == 1
    with only_one(settings.data_dir):
        assert check("--running")[0] == 0
    gone = subprocess.Popen(["true"])
    gone.wait()
    (settings.data_dir / "podsift.lock").write_text(str(gone.pid))
    assert check("--running")[0] == 1
    for junk in ("", "0", "-1", "pid"):
        (settings.data_dir / "podsift.lock").write_text(junk)
        assert check("--running")[0] == 1
    (settings.data_dir / "podsift.lock").write_text(str(os.getpid()))
    assert check("--running")[0] == 0


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/health?a=b": 200, "/moved": 302}.get(self.path, 503))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_page_must_answer_200(check: Check, settings: Settings) -> None:
    open_database(settings).close()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        Thread(target=server.serve_forever).start()
        root = f"http://127.0.0.1:{server.server_port}"
        try:
            assert check("--url", f"{root}/health?a=b")[0] == 0
            assert check("--url", f"{root}/moved")[0] == 1
            code, found = check("--url", f"{root}/else")
            assert code == 1 and "503" in str(found["page"]["says"])
        finally:
            server.shutdown()
    assert check("--url", f"{root}/health?a=b")[0] == 1


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "http://example.org/", "http://127.0.0.1.example.org/", "http://[::1", "file:///x"]
)
def test_only_pages_of_this_machine(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["healthcheck", "--url", url]) == 2
    assert "page of this machine" in capsys.readouterr().err


@pytest.mark.postgres
def test_running_on_postgresql_means_a_session_that_speaks(
    check: Check, pg: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODSIFT_DATABASE_URL", postgres_url)
    pg.close()  # the pool's sessions would count as a process of this machine, as they should
    code, found = check("--running")
    assert (code, found["schema"]["ok"], found["running"]["ok"]) == (1, True, False)
    with pg.alone("clock"):
        assert check("--running")[0] == 0
        # Silence is told apart from talk: time is not waited for but taken off the limit.
        monkeypatch.setattr("pipeline.cli.healthcheck.SILENT_S", -1.0)
        assert check("--running")[0] == 1


@pytest.mark.postgres
def test_silence_grows_until_a_session_speaks(pg: Database) -> None:
    with pg.engine.connect() as other, pg.engine.connect() as asking:
        asking.execution_options(isolation_level="AUTOCOMMIT")  # a transaction sees one state of the server
        other.execute(text("SELECT 1"))
        asking.execute(text("SELECT pg_sleep(1)"))
        before = silence_s(asking)
        other.execute(text("SELECT 1"))
        after = silence_s(asking)
        assert before is not None and after is not None and 1 <= before < 60 and after < before


def test_a_server_that_is_away_is_bad(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODSIFT_DATABASE_URL", "postgresql://podsift:hunter2@127.0.0.1:1/podsift")
    code, found = check("--running")
    assert code == 1 and not any(r["ok"] for r in found.values()) and "hunter2" not in json.dumps(found)
