"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pipeline.cli.main import run
from pipeline.clock import FixedClock
from pipeline.settings import Settings, load
from pipeline.store.database import Database, open_database, open_url
from tests import postgres

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environ=environ_of(tmp_path))


def environ_of(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "t.toml").write_text("")
    return {"PODSIFT_CONFIG": str(tmp_path / "t.toml"), "PODSIFT_DATA_DIR": str(tmp_path / "data")}


Call = Callable[..., tuple[int, str, str]]
"""`podsift` with these arguments: exit code, stdout, stderr."""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Commands in an empty folder, on an installation of this test's own."""
    monkeypatch.chdir(tmp_path)
    for name, value in environ_of(tmp_path).items():
        monkeypatch.setenv(name, value)

    def invoke(*argv: str) -> tuple[int, str, str]:
        code = run(list(argv))
        said = capsys.readouterr()
        return code, said.out, said.err

    return invoke


@pytest.fixture
def sqlite(settings: Settings) -> Iterator[Database]:
    opened = open_database(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a database whose schema is up to date: copying it is faster than migrating."""
    with postgres.database(postgres_server) as url:
        open_url(url.replace("postgresql://", "postgresql+psycopg://")).close()
        yield str(make_url(url).database)


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A database of the test's own, as `database.url` takes it."""
    with postgres.database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture
def pg_settings(tmp_path: Path, postgres_url: str) -> Settings:
    return load(environ=environ_of(tmp_path) | {"PODSIFT_DATABASE_URL": postgres_url})


@pytest.fixture
def pg(pg_settings: Settings) -> Iterator[Database]:
    opened = open_database(pg_settings)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest) -> Database:
    """Each database in turn: what the product promises, both keep."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]
