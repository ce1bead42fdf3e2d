"""Fixtures that several suites share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.clock import FixedClock
from pipeline.settings import Settings, load
from pipeline.store.database import Database, open_database

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "t.toml").write_text("")
    return load(environ={"PODSIFT_CONFIG": str(tmp_path / "t.toml"), "PODSIFT_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    opened = open_database(settings)
    yield opened
    opened.close()
