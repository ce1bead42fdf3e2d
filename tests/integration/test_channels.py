"""Channels over the wire: a webhook that checks signatures, a service behind Apprise, the guard, and the commands."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from pipeline.channel.deliver import deliver_due
from pipeline.channel.ways import WAYS, opened, sealed
from pipeline.cli.main import run
from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.settings import Settings
from pipeline.store import channels
from pipeline.store.database import Database
from tests.conftest import NOW
from tests.fakes.http_server import Site, redirect, send, serve
from tests.fakes.rows import add_insights, add_subscriber


def settings_for(settings: Settings, *hosts: str) -> Settings:
    more = {"secret_key": "k1:0123456789abcdef", "channel": {"allow_hosts": hosts}}
    return Settings.model_validate(settings.model_dump() | more)


def posted_to(db: Database, ours: Settings, clock: FixedClock, kind: str, address: str) -> str:
    """The secrets of a channel that a digest was delivered to, in whatever state."""
    with db.begin() as conn:
        add_insights(conn, NOW, ["Queues lie about lateness."])
        who = add_subscriber(conn, NOW)
        text = sealed(WAYS[kind].place(address, ours), ours)
        channels.add(conn, who.id, kind, "one", text, address, NOW)
        assert build(conn, who, ours, lambda *_: None, NOW) is not None
    deliver_due(db, ours, clock)
    return text


def state(db: Database) -> tuple[str, str]:
    with db.begin() as conn:
        (row,) = channels.deliveries(conn)
    return row["state"], row["reply"]


def test_a_webhook_gets_what_it_can_check(sqlite: Database, settings: Settings, clock: FixedClock) -> None:
    with serve() as site:
        site.answers["/hook"] = send(status=204)
        ours = settings_for(settings, site.host)
        secret = opened(posted_to(sqlite, ours, clock, "webhook", f"{site.base}/hook"), ours)["secret"]
        assert state(sqlite) == ("sent", "the server answered 204")
        ((_, headers),), (body,) = site.asked, site.posted
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        data = json.loads(body)["data"]
        assert data["insights"][0]["quote"] == "Queues lie about lateness." and "reader@" not in body.decode()


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (send(status=503), ("deferred", "the server answered 503")),
        (send(status=403), ("failed", "the server answered 403")),
        (redirect("http://169.254.169.254/"), ("failed", "the server answered 302, and redirects are not followed")),
    ],
)
def test_answers_of_a_webhook(
    answer: object, then: tuple[str, str], sqlite: Database, settings: Settings, clock: FixedClock
) -> None:
    with serve() as site:
        site.answers["/hook"] = answer  # type: ignore[assignment]
        posted_to(sqlite, settings_for(settings, site.host), clock, "webhook", f"{site.base}/hook")
        found = state(sqlite)
        assert found[0] == then[0] and found[1].startswith(then[1]) and len(site.asked) == 1


@pytest.mark.parametrize("kind", ["webhook", "chat"])
def test_the_guard_stands_before_private_addresses(
    kind: str, sqlite: Database, settings: Settings, clock: FixedClock
) -> None:
    with serve() as site:
        address = f"{site.base}/hook" if kind == "webhook" else f"json://{site.host}/hook"
        posted_to(sqlite, settings_for(settings), clock, kind, address)
        assert state(sqlite)[0] == "deferred" and site.asked == []


def chat(site: Site, db: Database, settings: Settings, clock: FixedClock) -> tuple[str, str]:
    posted_to(db, settings_for(settings, site.host), clock, "chat", f"json://{site.host}/hook")
    return state(db)


def test_a_service_behind_apprise(sqlite: Database, settings: Settings, clock: FixedClock) -> None:
    with serve() as site:
        site.answers["/hook"] = send()
        assert chat(site, sqlite, settings, clock) == ("sent", "taken")
        said = json.loads(site.posted[0])
        assert said["title"].startswith("One worth knowing") and "Queues lie about lateness." in said["message"]
        deliver_due(sqlite, settings_for(settings, site.host), clock)
        assert len(site.posted) == 1


@pytest.mark.parametrize(("status", "then"), [(503, "deferred"), (401, "failed"), (502, "uncertain")])
def test_what_a_service_refuses(
    status: int, then: str, sqlite: Database, settings: Settings, clock: FixedClock
) -> None:
    with serve() as site:
        site.answers["/hook"] = send(status=status)
        assert chat(site, sqlite, settings, clock)[0] == then


def test_a_line_that_is_lost_after_the_post_waits_for_a_person(
    sqlite: Database, settings: Settings, clock: FixedClock
) -> None:
    with serve() as site:
        site.answers["/hook"] = lambda h: h.connection.close()
        assert chat(site, sqlite, settings, clock)[0] == "uncertain"
        deliver_due(sqlite, settings_for(settings, site.host), clock)
        assert len(site.posted) == 1


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = run(list(argv))
    return code, "".join(capsys.readouterr())


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    notes = tmp_path / "notes"
    notes.mkdir()
    with serve() as site:
        site.answers["/hook"] = send()
        (tmp_path / "podsift.toml").write_text(
            f'data_dir = "data"\nsecret_key = "k1:0123456789abcdef"\n[channel]\nallow_hosts = ["{site.host}"]\n'
        )
        assert command(capsys, "channel", "add", f"{site.base}/hook")[0] == 2, "there is nobody yet"
        assert command(capsys, "subscriber", "add", "reader@example.org")[0] == 0
        code, said = command(capsys, "channel", "add", f"{site.base}/hook", "--name", "hook")
        assert code == 0 and "whsec_" in said and "/hook" not in said.split("whsec_")[0]
        code, said = command(capsys, "channel", "add", f"folder:{notes}", "--json")
        assert code == 0 and json.loads(said)["kind"] == "folder"
        assert command(capsys, "channel", "add", f"folder:{notes}", "--name", "hook")[0] == 2
        assert command(capsys, "channel", "add", "nonsense://x")[0] == 2
        assert command(capsys, "channel", "test", "hook") == (0, "hook: taken (the server answered 200)\n")
        code, said = command(capsys, "channel", "list", "--json")
        assert [c["kind"] for c in json.loads(said)] == ["webhook", "folder"] and "whsec" not in said
        assert command(capsys, "channel", "pause", "hook")[0] == 0
        assert command(capsys, "channel", "resume", "1")[0] == 0
        assert command(capsys, "digest", "send")[1].splitlines()[-1] == "channels: nothing waits"
        assert command(capsys, "channel", "log", "--json") == (0, "[]\n")
        assert command(capsys, "channel", "resolve", "9", "--resend")[0] == 3
        assert command(capsys, "digest", "export")[0] == 3
        assert "2 channels again" in command(capsys, "feed", "rekey")[1].replace("0 of 2", "2")
        assert command(capsys, "channel", "remove", "hook")[0] == 0
        assert command(capsys, "channel", "test", "hook")[0] == 3
