"""People: double opt-in, lists of addresses, preferences that digests honour, export and erasure."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from pipeline.cli.main import run
from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.digest.wishes import checked, parse_days
from pipeline.email import optin, suppress, tokens
from pipeline.email.links import holder
from pipeline.errors import ConfigError, RefusedError, UsageError
from pipeline.settings import Settings
from pipeline.store import outbox, subscribers
from pipeline.store.database import Database
from pipeline.store.feedback import give
from pipeline.store.tables import metadata, suppression
from tests.fakes.rows import add_insights, add_subscriber

WHO = "reader@example.org"


@pytest.fixture
def ours(settings: Settings) -> Settings:
    more = {"secret_key": "k1:0123456789abcdef", "web": {"base_url": "https://pods.example.org"}}
    return Settings.model_validate(settings.model_dump() | more)


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def link_of(message: bytes) -> str:
    read = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(read, email.message.EmailMessage)
    text = read.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    return next(str(line) for line in text.splitlines() if line.startswith("https://pods.example.org/c/"))


def test_double_opt_in(db: Database, ours: Settings, clock: FixedClock) -> None:
    ask: dict[str, Any] = {"how": "web", "from": "192.0.2.1"}
    with db.begin() as conn:
        assert optin.ask(conn, ours, WHO, clock.now(), ask, wishes={"hour": 9}) == "asked"
        assert optin.ask(conn, ours, WHO.upper(), clock.now(), ask) in ("asked", "again")
        assert optin.ask(conn, ours, WHO, clock.now(), ask) == "again"
        assert [s.email for s in subscribers.listed(conn)] == []
        assert build_all(conn, ours, clock) == []  # a pending address gets no digest
        first = outbox.listed(conn)[-1]
        assert (first["kind"], first["digest_id"]) == ("confirm", None)
        token = link_of(outbox.get(conn, first["id"])["message"]).rpartition("/")[2]
        who, _ = holder(conn, ours, "confirm", token, now=clock.now())
        who = subscribers.activate(conn, who.id, clock.now(), {"confirmed_how": "web"})
        assert (who.state, who.hour, who.consent["how"], who.consent["from"]) == ("active", 9, "web", "192.0.2.1")
        assert who.confirmed_at == clock.now()
        assert optin.ask(conn, ours, WHO, clock.now(), ask) == "known"
        subscribers.remove(conn, who.id, clock.now())
        # The confirm link still holds, but must not bring back who has left since.
        assert subscribers.activate(conn, who.id, clock.now(), {}).state == "removed"
        with pytest.raises(RefusedError, match="too old"):
            holder(conn, ours, "confirm", token, now=clock.now() + timedelta(hours=49))


def build_all(conn: Any, settings: Settings, clock: FixedClock) -> list[int]:
    made = (build(conn, who, settings, never, clock.now()) for who in subscribers.listed(conn))
    return [m for m in made if m is not None]


def test_an_address_is_asked_once_an_hour_and_three_times_a_day(
    db: Database, ours: Settings, clock: FixedClock
) -> None:
    said = []
    with db.begin() as conn:
        for _ in range(6):
            said.append(optin.ask(conn, ours, WHO, clock.now(), {"how": "web"}))
            clock.at += timedelta(minutes=61)
    assert said == ["asked"] * 3 + ["again"] * 3


def test_who_is_suppressed_is_not_asked(db: Database, ours: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        suppress.suppress(conn, ours, WHO, "complaint", "x", clock.now())
        assert optin.ask(conn, ours, WHO, clock.now(), {"how": "web"}) == "suppressed"
        suppress.suppress(conn, ours, WHO, "soft", "x", clock.now())
        assert optin.ask(conn, ours, WHO, clock.now(), {"how": "import"}, by_person=False) == "suppressed"
        assert optin.ask(conn, ours, WHO, clock.now(), {"how": "web"}) == "asked"
        assert suppress.why(conn, ours, WHO) is None


def test_no_confirm_mail_without_a_page(db: Database, settings: Settings, clock: FixedClock) -> None:
    with db.begin() as conn, pytest.raises(ConfigError, match="link"):
        optin.ask(conn, settings, WHO, clock.now(), {"how": "web"})


def test_preferences_reach_the_digest(db: Database, ours: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        add_insights(conn, clock.now(), ["Bread is baked twice."], show=1, n=1, scores=[0.9])
        add_insights(conn, clock.now(), ["Queues lie about lateness."], show=2, n=2, scores=[0.5])
        add_insights(conn, clock.now(), ["A garden is a slow argument."], show=3, n=3, scores=[0.51])
        who = add_subscriber(conn, clock.now())
        values = checked({"muted_topics": ["bread"], "wanted_topics": ["Queues"], "muted_shows": [77], "count": "3"})
        who = subscribers.change(conn, who.id, values, clock.now())
        assert (who.muted_topics, who.wanted_topics, who.muted_shows, who.count) == (("bread",), ("queues",), (77,), 3)
        made = build(conn, who, ours, never, clock.now())
        assert made is not None
        text = next(r for r in subscribers.export(conn, who.id)["digest"])["text"]
        assert "Bread" not in text and text.index("Queues") < text.index("garden")


def test_days_of_the_week(db: Database, ours: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:  # the clock stands on a Friday, 08:00
        who = add_subscriber(conn, clock.now(), next_digest_at=None)
        who = subscribers.change(conn, who.id, checked({"days": parse_days("mon,wed")}), clock.now())
        assert who.days == (1, 3) and who.next_digest_at == clock.now().replace(day=23, hour=7)
        who = subscribers.change(conn, who.id, checked({"days": parse_days("weekdays"), "hour": 9}), clock.now())
        assert who.next_digest_at == clock.now().replace(hour=9)


def test_a_pause_holds_mail_back_and_ends_by_itself(db: Database, ours: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        add_insights(conn, clock.now(), ["A claim."])
        who = add_subscriber(conn, clock.now())
        assert build(conn, who, ours, never, clock.now()) is not None
        until = clock.now() + timedelta(days=10)
        subscribers.pause(conn, who.id, until, clock.now())
        assert outbox.counts(conn) == {"suppressed": 1}
        clock.at += timedelta(days=5)
        assert subscribers.due(conn, clock.now()) == []
        clock.at += timedelta(days=6)
        assert [(s.email, s.state) for s in subscribers.due(conn, clock.now())] == [(WHO, "active")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"hour": 24}, {"hour": "x"}, {"count": 2}, {"count": None}, {"time_zone": "../etc/passwd"}, {"time_zone": 5},
        {"days": []}, {"days": [0]}, {"days": "1"}, {"muted_topics": ["x" * 61]}, {"muted_topics": ["a\x00b"]},
        {"muted_topics": [str(k) for k in range(51)]}, {"wanted_shows": [-1]}, {"wanted_shows": 5}, {"minute": 2**80},
    ],
)  # fmt: skip
def test_wrong_preferences_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        checked(wrong)


def test_export_has_everything_and_erasing_leaves_a_hash_at_most(
    db: Database, ours: Settings, clock: FixedClock
) -> None:
    with db.begin() as conn:
        (insight,) = add_insights(conn, clock.now(), ["A claim."])
        who = add_subscriber(conn, clock.now())
        add_subscriber(conn, clock.now(), "other@example.org")
        assert len(build_all(conn, ours, clock)) == 2
        give(conn, who.id, insight, "more", clock.now())
        suppress.suppress(conn, ours, WHO, "hard", "5.1.1", clock.now())
        data = subscribers.export(conn, who.id)
        assert {k: len(v) for k, v in data.items() if v} == {
            "subscriber": 1, "digest": 1, "ledger": 1, "outbox": 1, "feedback": 1
        }  # fmt: skip
        said = json.dumps(data)
        assert WHO in said and "other@example.org" not in said and "n" * 32 not in said
        subscribers.erase(conn, who.id)
        left = {t.name: conn.execute(select(func.count()).select_from(t)).scalar() for t in metadata.sorted_tables}
        assert (left["subscriber"], left["digest"], left["outbox"], left["feedback"]) == (1, 1, 1, 0)
        assert conn.execute(select(func.count()).select_from(suppression)).scalar() == 1
        token = tokens.make(ours, "unsubscribe", who.id, who.nonce)
        with pytest.raises(RefusedError):
            holder(conn, ours, "unsubscribe", token)


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = run(list(argv))
    return code, "".join(capsys.readouterr())


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "podsift.toml").write_text(
        'data_dir = "data"\nsecret_key = "k1:0123456789abcdef"\n[web]\nbase_url = "https://pods.example.org"\n'
    )
    (tmp_path / "people.csv").write_text(
        "\ufeffemail;hour;time_zone;days;muted_topics\n"
        "a@example.org;6;Europe/Berlin;mon-fri;golf;sport\n"
        'b@example.org;9;Mars/Olympus;;\n"c@example.org;9;UTC;;\nnobody\nd@example.org;;;;\na@example.org;;;;\n',
        "utf-8",
    )
    code, said = command(capsys, "subscriber", "import", "people.csv", "--confirmed", "--dry-run", "--json")
    assert code == 5 and json.loads(said)["counts"] == {"wrong": 4, "added": 2}
    assert command(capsys, "subscriber", "list", "--json") == (0, "[]\n")
    assert "2 asked, 4 wrong\n" in command(capsys, "subscriber", "import", "people.csv")[1]
    code, said = command(capsys, "subscriber", "list", "--state", "pending", "--json")
    assert [r["email"] for r in json.loads(said)] == ["d@example.org", "a@example.org"]
    assert command(capsys, "outbox", "list", "--json")[1].count('"kind": "confirm"') == 2
    code, said = command(capsys, "outbox", "show", "1", "--json")
    assert code == 0 and json.loads(said)["means"] == "written with its digest, waits for a sender"
    assert command(capsys, "outbox", "show", "9")[0] == 3

    code, said = command(
        capsys,
        "subscriber",
        "set",
        "a@example.org",
        "--hour",
        "5",
        "--zone",
        "Asia/Tokyo",
        "--days",
        "sat",
        "--count",
        "3",
    )
    assert code == 0 and "05:00 Asia/Tokyo, days 6, 3 insights" in said
    assert command(capsys, "subscriber", "set", "a@example.org", "--pause-until", "2001-01-01")[0] == 2
    assert command(capsys, "subscriber", "set", "a@example.org")[0] == 2
    code, said = command(capsys, "subscriber", "export", "a@example.org", "--json")
    assert code == 0 and json.loads(said)["subscriber"][0]["hour"] == 5

    assert command(capsys, "mail", "suppressed", "add", "d@example.org")[0] == 0
    assert command(capsys, "mail", "suppressed", "show", "D@Example.org")[0] == 0
    assert command(capsys, "subscriber", "delete", "d@example.org", "--yes")[0] == 0
    code, said = command(capsys, "subscriber", "add", "d@example.org")
    assert code == 2 and "suppressed" in said
    assert command(capsys, "mail", "suppressed", "remove", "d@example.org")[0] == 0
    assert command(capsys, "mail", "suppressed", "remove", "d@example.org")[0] == 3
    assert command(capsys, "subscriber", "add", "d@example.org", "--days", "1-3")[0] == 0

    for part in ("new", "cur", "tmp"):
        (tmp_path / "box" / part).mkdir(parents=True)
    (tmp_path / "box" / "new" / "1.x").write_bytes(b"To: x\r\n\r\nhello")
    (tmp_path / "box" / "new" / "2.x").symlink_to("/etc/passwd")
    code, said = command(capsys, "mail", "bounces", "--maildir", "box", "--json")
    assert (code, json.loads(said)["taken"]) == (0, {"unknown": 1})
    assert [p.name for p in (tmp_path / "box" / "cur").iterdir()] == ["1.x:2,S"]
    assert command(capsys, "mail", "holds", "--json") == (0, "[]\n")
    assert command(capsys, "mail", "dkim")[0] == 2
