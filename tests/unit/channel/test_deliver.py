"""Channels: what is posted once, what is posted again, what waits for a person; on both databases."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.channel import chat
from pipeline.channel.base import Fate, Place, Post
from pipeline.channel.deliver import deliver_due, moved
from pipeline.channel.folder import Folder
from pipeline.channel.ways import kind_of, opened, resealed, sealed
from pipeline.channel.webhook import fate, signature
from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.errors import UsageError
from pipeline.records import DigestIssue, Subscriber
from pipeline.settings import Settings
from pipeline.store import channels, outbox, subscribers
from pipeline.store.database import Database
from tests.conftest import NOW
from tests.fakes.rows import add_insights, add_subscriber


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


@pytest.fixture
def ours(settings: Settings) -> Settings:
    return Settings.model_validate(settings.model_dump() | {"secret_key": "k1:0123456789abcdef"})


class Scripted:
    """A way out that answers as told, and may die in the middle of a post."""

    def __init__(self, repeatable: bool, *fates: Fate | BaseException):
        self.repeatable = repeatable
        self.fates = list(fates)
        self.posts: list[Post] = []

    def place(self, address: str, settings: Settings) -> Place:
        return Place({"url": address}, address)

    def body(self, issue: DigestIssue, digest_id: int, settings: Settings) -> str:
        return "body"

    def post(self, secrets: Mapping[str, str], post: Post, settings: Settings) -> Fate:
        self.posts.append(post)
        found = self.fates.pop(0) if self.fates else Fate("sent")
        if isinstance(found, BaseException):
            raise found
        return found


class Death(BaseException):
    """kill -9, as far as one process can play it."""


def waiting(db: Database, ours: Settings, *kinds: str) -> Subscriber:
    """A reader with a digest that waits for a channel of each kind."""
    with db.begin() as conn:
        add_insights(conn, NOW, ["Queues lie about lateness."])
        who = add_subscriber(conn, NOW)
        for k, kind in enumerate(kinds):
            text = sealed(Place({"url": "x", "path": "/nowhere", "secret": "whsec_AAAA"}, "x"), ours)
            channels.add(conn, who.id, kind, f"{kind}-{k}", text, "x", NOW)
        assert build(conn, who, ours, never, NOW) is not None
    return who


def states(db: Database) -> list[str]:
    with db.begin() as conn:
        return [r["state"] for r in reversed(channels.deliveries(conn))]


@pytest.mark.parametrize(("kind", "repeatable", "then"), [("webhook", True, "sent"), ("chat", False, "uncertain")])
def test_a_death_while_posting(
    db: Database, ours: Settings, clock: FixedClock, kind: str, repeatable: bool, then: str
) -> None:
    waiting(db, ours, kind)
    way = Scripted(repeatable, Death())
    with pytest.raises(Death):
        deliver_due(db, ours, clock, ways={kind: way})
    assert states(db) == ["posting"]
    deliver_due(db, ours, clock, ways={kind: way})
    assert states(db) == [then]
    assert len({p.key for p in way.posts}) == 1 and len(way.posts) == (2 if repeatable else 1)
    deliver_due(db, ours, clock, ways={kind: way})
    assert len(way.posts) == (2 if repeatable else 1), "what was settled is not posted again"


def test_trouble_with_one_stops_no_other(db: Database, ours: Settings, clock: FixedClock) -> None:
    waiting(db, ours, "webhook", "chat", "folder")
    ways = {
        "webhook": Scripted(True, Fate("later", "away")),
        "chat": Scripted(False, ValueError("a bug of a library")),
        "folder": Scripted(True),
    }
    assert deliver_due(db, ours, clock, ways=ways) == {"deferred": 1, "uncertain": 1, "sent": 1}
    assert deliver_due(db, ours, clock, ways=ways) == {}, "not before its time"
    clock.at = NOW + timedelta(minutes=3)
    assert deliver_due(db, ours, clock, ways=ways) == {"sent": 1}
    with db.begin() as conn:
        (row,) = channels.deliveries(conn, "uncertain")
        channels.resolve(conn, row["id"], "queued", clock.now())
        with pytest.raises(UsageError):
            channels.resolve(conn, row["id"], "sent", clock.now())
    assert deliver_due(db, ours, clock, ways=ways) == {"sent": 1}


def test_gone_pauses_and_a_pause_suppresses(db: Database, ours: Settings, clock: FixedClock) -> None:
    who = waiting(db, ours, "webhook")
    assert deliver_due(db, ours, clock, ways={"webhook": Scripted(True, Fate("gone", "the server answered 410"))})
    with db.begin() as conn:
        (row,) = channels.listed(conn)
        assert (row["state"], row["why"]) == ("paused", "the server answered 410")
        assert channels.of_subscriber(conn, who.id) == []
        channels.change(conn, row["id"], "active")


def test_what_waits_ends_with_its_time_or_its_reader(db: Database, ours: Settings, clock: FixedClock) -> None:
    who = waiting(db, ours, "webhook", "folder")
    ways = {"webhook": Scripted(True, Fate("later")), "folder": Scripted(True, Fate("later"))}
    deliver_due(db, ours, clock, ways=ways)
    with db.begin() as conn:
        subscribers.remove(conn, who.id, NOW)
    clock.at = NOW + timedelta(hours=1)
    deliver_due(db, ours, clock, ways=ways)
    assert states(db) == ["suppressed", "suppressed"]


def test_no_mail_means_channels_alone(db: Database, ours: Settings, clock: FixedClock) -> None:
    with db.begin() as conn:
        add_insights(conn, NOW, ["Queues lie about lateness."])
        who = subscribers.change(conn, add_subscriber(conn, NOW).id, {"by_mail": False}, NOW)
        assert build(conn, who, ours, never, NOW) is None, "it would go nowhere, and count as had"
        channels.add(conn, who.id, "webhook", "w", sealed(Place({"url": "x"}, "x"), ours), "x", NOW)
        assert build(conn, who, ours, never, NOW) is not None
        assert outbox.listed(conn) == [] and len(channels.deliveries(conn)) == 1
        assert "sealed" not in str(subscribers.export(conn, who.id)) and "channel" in subscribers.export(conn, who.id)


def test_fates_lead_to_states() -> None:
    assert moved(Fate("later", wait_s=3 * 3600), 0, True, NOW)[1]["next_at"] == NOW + timedelta(hours=3)
    assert moved(Fate("later"), 30, True, NOW)[1]["next_at"] == NOW + timedelta(hours=2)
    assert moved(Fate("unknown"), 0, True, NOW)[0] == "deferred"
    assert moved(Fate("unknown"), 0, False, NOW)[0] == "uncertain"
    codes = {200: "sent", 204: "sent", 301: "refused", 400: "refused", 404: "refused", 410: "gone", 429: "later"}
    assert {c: fate(c, {}).outcome for c in codes} == codes and fate(503, {"retry-after": "120"}).wait_s == 120


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's own libraries.
    at = datetime.fromtimestamp(1614265330, UTC)
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert base64.b64decode(made.removeprefix("v1,"))


@pytest.mark.parametrize(
    ("log", "connected", "then"),
    [
        ("Failed to send ntfy notification to topic 'x': error=429.", 1, "later"),
        ("Failed to send Slack notification: Forbidden, error=403.", 1, "refused"),
        ("Failed to send JSON notification: error=502.", 1, "unknown"),
        ("A Connection error occurred sending ntfy notification.", 1, "unknown"),
        ("A Connection error occurred sending ntfy notification.", 0, "later"),
        ("", 1, "unknown"),
    ],
)
def test_what_apprise_logs_says_what_became_of_a_post(log: str, connected: int, then: str) -> None:
    assert chat.fate([log], chat.Wire(connected, "away")).outcome == then


def test_a_folder_takes_the_same_day_once(ours: Settings, tmp_path: Path) -> None:
    post = Post("k", json.dumps({"name": "2026-11-20 Podsift.md", "text": "# A day\n"}), NOW)
    for _ in range(2):
        assert Folder().post({"path": str(tmp_path)}, post, ours).outcome == "sent"
    assert [p.name for p in tmp_path.glob("*.md")] == ["2026-11-20 Podsift.md"] and not list(tmp_path.glob(".*.part"))
    assert Folder().post({"path": str(tmp_path / "gone")}, post, ours).outcome == "later"
    with pytest.raises(UsageError):
        Folder().place("folder:relative", ours)


def test_addresses_mean_kinds() -> None:
    said = {
        "https://example.org/hook": "webhook",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ": "chat",
        "ntfy://topic": "chat", "folder:/tmp": "folder", "/tmp": "folder",
    }  # fmt: skip
    assert {a: kind_of(a) for a in said} == said


def test_secrets_are_sealed_and_move_to_a_new_key(ours: Settings) -> None:
    text = sealed(Place({"url": "https://example.org/secret"}, "x"), ours)
    assert "secret" not in text and opened(text, ours) == {"url": "https://example.org/secret"}
    changed: dict[str, Any] = {"secret_key": "k2:fedcba9876543210,k1:0123456789abcdef"}
    newer = Settings.model_validate(ours.model_dump() | changed)
    again = resealed(text, newer)
    assert again is not None and again.startswith("v1.k2.") and resealed(again, newer) is None
