"""The command line: exit codes, errors in three lines, JSON, secrets hidden, `--help` of everything."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pipeline.cli.main import COMMANDS, podsift, run
from pipeline.resources import resource

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        code = run(list(argv))
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def every(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += every(command, (*path, name))
    return found


def test_every_command_has_help(cli: Run) -> None:
    assert set(COMMANDS) <= {p[0] for p in every(podsift)}
    for path in every(podsift):
        code, out, _ = cli(*path, "--help")
        assert code == 0 and "Usage: podsift" in out


def test_exit_codes_and_three_lines(cli: Run, tmp_path: Path) -> None:
    assert cli("feed", "list", "--nope")[0] == 2
    code, _, err = cli("feed", "show", "nobody")
    assert code == 3 and err.startswith("error: ") and "\n  try: " in err
    (tmp_path / "podsift.toml").write_text("[smtp]\nprot = 1\n")
    code, _, err = cli("config", "show")
    assert code == 4 and "smtp.port" in err


def test_init_then_config_show(cli: Run, tmp_path: Path) -> None:
    assert cli("init")[0] == 0
    path = tmp_path / "podsift.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text().split('secret_key = "')[1].split('"')[0]
    assert key.startswith("k1:")
    code, out, _ = cli("config", "show", "--json")
    assert code == 0 and key not in out and json.loads(out)["smtp.port"] == 587
    assert cli("init")[0] == 2


def test_what_init_writes_is_read_back_with_the_defaults(cli: Run, tmp_path: Path) -> None:
    cli("init")
    text = (tmp_path / "podsift.toml").read_text()
    plain = json.loads(cli("config", "show", "--json")[1])
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") and not line.endswith('= ""') else line
        for line in text.splitlines()
    )
    (tmp_path / "podsift.toml").write_text(uncommented)
    code, out, err = cli("config", "show", "--json")
    assert code == 0, err
    assert json.loads(out) == plain


def test_feed_parse_prints_one_object(cli: Run) -> None:
    path = resource("samples") / "feed-slow-software.xml"
    code, out, _ = cli("feed", "parse", str(path), "--base-url", "http://127.0.0.1/f.xml", "--json")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {
        "title", "language", "ttl_minutes", "new_feed_url", "next_page_url", "podcast_guid", "episodes",
    }  # fmt: skip
    assert found["episodes"][0]["published"] == "2026-11-12T06:00:00Z"
    assert [t["type"] for t in found["episodes"][0]["transcripts"]] == ["text/vtt", "application/json"]


def test_subscribers_come_and_go(cli: Run) -> None:
    assert cli("subscriber", "add", "Ada@Example.ORG", "--time-zone", "Europe/Berlin", "--hour", "6")[0] == 0
    assert cli("subscriber", "add", "Ada@example.org")[0] == 2
    (row,) = json.loads(cli("subscriber", "list", "--json")[1])
    assert (row["email"], row["hour"], row["time_zone"]) == ("Ada@example.org", 6, "Europe/Berlin")
    assert "nonce" not in row
    assert cli("subscriber", "remove", "Ada@example.org")[0] == 0
    assert cli("subscriber", "add", "not an address")[0] == 2
    assert cli("subscriber", "add", "a@example.org", "--time-zone", "Mars/Base")[0] == 2
    assert cli("subscriber", "remove", "nobody@example.org")[0] == 3


@pytest.mark.parametrize(
    "argv",
    [
        ("feed", "list"),
        ("episode", "list"),
        ("job", "list"),
        ("insight", "list"),
        ("digest", "list"),
        ("outbox", "list"),
    ],
)
def test_lists_have_json_and_an_empty_form(cli: Run, argv: tuple[str, ...]) -> None:
    assert cli(*argv)[0] == 0
    assert json.loads(cli(*argv, "--json")[1]) == []


def test_a_feed_that_cannot_be_read_is_not_kept(cli: Run) -> None:
    code, _, err = cli("feed", "add", "http://127.0.0.1/feed.xml")
    assert code == 1 and "not a public address" in err
    assert json.loads(cli("feed", "list", "--json")[1]) == []


def test_a_database_that_is_away_is_said_without_its_password(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODSIFT_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d")
    code, _, err = cli("feed", "list")
    assert code == 4 and "cannot be opened" in err and "hint" not in err and "hunter2" not in err
