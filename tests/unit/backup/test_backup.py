"""Backup and restore: everything comes back, nothing is replaced, a damaged file is refused, no mail goes twice."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from pipeline.backup import manifest
from pipeline.backup.config_text import fitted
from pipeline.backup.restore import check, restore
from pipeline.backup.write import write
from pipeline.cli.main import run
from pipeline.digest.compose import build
from pipeline.errors import ParseError, UsageError
from pipeline.settings import Settings, load
from pipeline.store import outbox, subscribers
from pipeline.store.database import Database, open_database, open_url
from pipeline.store.tables import metadata
from tests import postgres
from tests.conftest import NOW
from tests.fakes.rows import add_episode, add_insights, add_subscriber

LATER = NOW + timedelta(hours=30)
KEY = "k1:a-key-that-is-long-enough-for-a-test"
TOML = f"""# a comment that stays
secret_key = "{KEY}"
data_dir = "/nowhere/at/all"
[digest]
hour = 6   # early
[database]
url = "sqlite:////nowhere/old.db"
"""


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def fill(db: Database, settings: Settings) -> None:
    with db.begin() as conn:
        add_insights(conn, NOW, ["A claim with 3 numbers.", "Another claim, ünïcode 🎧."], n=1)
        add_episode(conn, NOW, show=2, n=7)
        build(conn, add_subscriber(conn, NOW), settings, never, NOW)
        add_subscriber(conn, NOW, "late@example.org", next_digest_at=NOW + timedelta(hours=1))


def rows(db: Database) -> dict[str, list[tuple[object, ...]]]:
    with db.begin() as conn:
        return {
            t.name: [tuple(r) for r in conn.execute(select(t).order_by(*t.primary_key.columns))]
            for t in metadata.sorted_tables
        }


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    return load(environ={"PODSIFT_DATA_DIR": str(settings.data_dir), "PODSIFT_SECRET_KEY": KEY})


@pytest.fixture
def made(keyed: Settings, sqlite: Database, tmp_path: Path) -> Path:
    fill(sqlite, keyed)
    (tmp_path / "old.toml").write_text(TOML)
    write(keyed, tmp_path / "old.toml", tmp_path / "b.tar.gz", NOW)
    return tmp_path / "b.tar.gz"


def restored(folder: Path) -> tuple[Settings, Database]:
    found = load(folder / "podsift.toml", environ={})
    return found, open_database(found)


def test_everything_comes_back_in_a_new_folder(made: Path, sqlite: Database, tmp_path: Path) -> None:
    done = restore(made, tmp_path / "new", LATER, keep_mails=True)
    settings, db = restored(tmp_path / "new")
    try:
        assert rows(db) == rows(sqlite)
        with db.begin() as conn:
            # The words that search finds are there too.
            assert conn.execute(text("SELECT count(*) FROM sqlite_master WHERE name LIKE '%fts%'")).scalar()
    finally:
        db.close()
    assert settings.secret_key is not None and settings.secret_key.get_secret_value() == KEY
    assert settings.digest.hour == 6 and settings.data_dir == tmp_path / "new" / "podsift-data"
    assert "# a comment that stays" in (tmp_path / "new" / "podsift.toml").read_text()
    assert (done.held, done.skipped) == (0, 0)


def test_only_the_owner_can_read_any_of_it(made: Path, tmp_path: Path) -> None:
    restore(made, tmp_path / "new", LATER)
    secret = [made, tmp_path / "new" / "podsift.toml", tmp_path / "new" / "podsift-data" / "podsift.db"]
    assert {stat.S_IMODE(p.stat().st_mode) for p in secret} == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".podsift")] == []


def test_what_may_have_been_sent_since_is_held(made: Path, tmp_path: Path) -> None:
    done = restore(made, tmp_path / "new", LATER)
    assert (done.held, done.skipped) == (1, 2)
    _, db = restored(tmp_path / "new")
    with db.begin() as conn:
        (mail,) = outbox.listed(conn)
        assert mail["state"] == "uncertain" and "it may have been sent since" in mail["reply"]
        assert subscribers.due(conn, LATER) == []
    db.close()


def test_nothing_is_replaced(made: Path, keyed: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        write(keyed, None, made, NOW)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="not empty"):
        restore(made, tmp_path / "full", LATER)


def test_it_is_made_while_somebody_writes(keyed: Settings, sqlite: Database, tmp_path: Path) -> None:
    fill(sqlite, keyed)
    with sqlite.begin() as conn:
        add_subscriber(conn, NOW, "open@example.org")  # not committed yet
        found = write(keyed, None, tmp_path / "b.tar.gz", NOW)
    assert found.tables["subscriber"] == 2


def packed(parts: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in parts:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def parts(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]  # type: ignore[union-attr]


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9])
def test_a_file_that_is_cut_short_is_refused(made: Path, tmp_path: Path, at: float) -> None:
    raw = made.read_bytes()
    (tmp_path / "cut").write_bytes(raw[: int(len(raw) * at)])
    with pytest.raises(ParseError):
        check(tmp_path / "cut")


@pytest.mark.parametrize("at", [0.02, 0.3, 0.7, 0.95])
def test_a_flipped_bit_is_refused(made: Path, tmp_path: Path, at: float) -> None:
    raw = bytearray(gzip.decompress(made.read_bytes()))
    raw[int(len(raw) * at)] ^= 4
    (tmp_path / "bad").write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(ParseError):
        check(tmp_path / "bad")


def test_other_files_are_no_backups(tmp_path: Path, made: Path) -> None:
    good = parts(made)
    cases = {
        "text": b"hello",
        "empty": packed([]),
        "outside": packed([good[0], ("../../evil", b"x"), *good[1:]]),
        "more": packed([*good, ("more", b"x")]),
        "twice": packed([*good, good[1]]),
        "missing": packed(good[:-1]),
        "no manifest": packed(good[1:]),
        "manifest": packed([("manifest.json", b"[" * 100_000)]),
    }
    for name, content in cases.items():
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ParseError):
            check(tmp_path / "x")
        assert not (tmp_path / "evil").exists(), name
    told = json.loads(good[0][1])
    told["tables"]["insight"] += 1
    (tmp_path / "x").write_bytes(packed([("manifest.json", json.dumps(told).encode()), *good[1:]]))
    with pytest.raises(ParseError, match="insight"):
        check(tmp_path / "x")
    told["format"] = 2
    (tmp_path / "x").write_bytes(packed([("manifest.json", json.dumps(told).encode()), *good[1:]]))
    with pytest.raises(UsageError, match="format 2"):
        check(tmp_path / "x")
    assert check(made).tables["insight"] == 2


def test_settings_that_cannot_be_changed_safely_are_refused() -> None:
    text = 'secret_key = """a\nb"""\n[digest]\nhour = 5\n'
    with pytest.raises(ParseError):
        fitted(text, "k2:x", None)
    with pytest.raises(ParseError):
        fitted("database.url = 'postgresql://x'\n", None, None)
    assert "postgresql://new" in fitted(TOML, None, "postgresql://new")
    assert "nowhere" not in fitted(TOML, None, None)


@pytest.mark.postgres
def test_from_postgresql_to_sqlite_and_back(
    pg: Database, pg_settings: Settings, postgres_server: str, postgres_template: str, tmp_path: Path
) -> None:
    fill(pg, pg_settings)
    found = write(pg_settings, None, tmp_path / "b.tar.gz", NOW)
    assert found.database == "postgresql"
    restore(tmp_path / "b.tar.gz", tmp_path / "lite", LATER, keep_mails=True)
    _, lite = restored(tmp_path / "lite")
    assert rows(lite) == rows(pg)
    lite.close()
    with postgres.database(postgres_server, postgres_template) as url:
        restore(tmp_path / "b.tar.gz", tmp_path / "again", LATER, database_url=url, keep_mails=True)
        assert load(tmp_path / "again" / "podsift.toml", environ={}).on_postgres
        other = open_url(url.replace("postgresql://", "postgresql+psycopg://"))
        try:
            assert rows(other) == rows(pg)
            with other.begin() as conn:
                assert conn.execute(text("SELECT task_name FROM procrastinate_jobs")).scalars().all() == ["download"]
        finally:
            other.close()
        with pytest.raises(UsageError, match="has rows already"):
            restore(tmp_path / "b.tar.gz", tmp_path / "third", LATER, database_url=url)


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "old").mkdir()
    monkeypatch.chdir(tmp_path / "old")
    assert run(["init"]) == 0 and run(["subscriber", "add", "reader@example.org"]) == 0
    capfdbinary.readouterr()
    assert run(["backup", "../b.tar.gz"]) == 0
    assert b"read back and checked" in capfdbinary.readouterr().out
    assert run(["backup", "../b.tar.gz"]) == 2
    assert run(["restore", "../b.tar.gz", "--check", "--json"]) == 0
    assert run(["restore", "../b.tar.gz"]) == 2
    assert run(["restore", "../b.tar.gz", "--to", "../new"]) == 0
    capfdbinary.readouterr()
    assert run(["backup", "-"]) == 0
    out = capfdbinary.readouterr().out
    (tmp_path / "c.tar.gz").write_bytes(out)
    with (tmp_path / "c.tar.gz").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run(["restore", "-", "--check"]) == 0
    capfdbinary.readouterr()
    assert manifest.NAME.encode() in gzip.decompress(out)
    monkeypatch.chdir(tmp_path / "new")
    assert run(["subscriber", "list", "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out)[0]["email"] == "reader@example.org"
    old, new = ((tmp_path / n / "podsift.toml").read_text() for n in ("old", "new"))
    assert next(line for line in old.splitlines() if line.startswith("secret_key")) in new
