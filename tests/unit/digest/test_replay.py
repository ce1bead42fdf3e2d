"""Explaining a digest, and replaying a day with other weights."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.digest.compose import build
from pipeline.digest.explain import overlap
from pipeline.digest.replay import parse_weights, replay
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.store import digests, subscribers
from pipeline.store.database import Database
from tests.conftest import NOW, environ_of
from tests.fakes.rows import add_insights, add_subscriber

SAYINGS = (
    "Bakers bake",
    "Queues hide lateness from whoever counts them",
    "Bridges sing when wind is steady, engineers listen",
)


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def fill(db: Database, settings: Settings) -> int:
    with db.begin() as conn:
        for show in (1, 2, 3):
            texts = [f"{SAYINGS[show - 1]} {word}." for word in ("gladly", "rarely", "by night", "for money")]
            add_insights(conn, NOW, texts, show=show, n=show, scores=[0.9 - 0.1 * show - 0.02 * k for k in range(4)])
        who = add_subscriber(conn, NOW, count=3)
        made = build(conn, who, settings, never, NOW)
    assert made is not None
    return made


def test_a_digest_keeps_why_it_is_as_it_is(db: Database, settings: Settings) -> None:
    made = fill(db, settings)
    with db.begin() as conn:
        told = digests.get(conn, made)["explanation"]
    assert [r["show"] for r in told["chosen"]] == ["Show 1", "Show 2", "Show 3"]
    assert told["considered"] == 12 and len(told["missed"]) == 9 and told["relaxed"] is False
    assert told["missed"][0]["reason"] == "already 1 of this episode"
    assert told["chosen"][0]["reason"] == "among the best under the caps"


def test_a_day_replayed_is_the_day_and_weights_move_it(db: Database, settings: Settings) -> None:
    fill(db, settings)
    with db.begin() as conn:
        (who,) = subscribers.listed(conn)
        same = replay(conn, who, date(2026, 11, 20), settings, never, {})
        assert tuple(c.insight.id for c in same.selection.chosen) == same.sent
        other = replay(conn, who, date(2026, 11, 20), settings, never, parse_weights(["show:show 3=5"]), count=1)
        assert [c.insight.show for c in other.selection.chosen] == ["Show 3"]
        high = replay(conn, who, date(2026, 11, 20), settings, never, {}, floor=0.75)
        assert [c.insight.show for c in high.selection.chosen] == ["Show 1", "Show 1"]
        late = replay(conn, who, date(2026, 11, 21), settings, never, {})
        assert late.sent == () and {c.insight.id for c in late.selection.chosen}.isdisjoint(same.sent)
        early = replay(conn, who, (NOW - timedelta(days=9)).date(), settings, never, {})
        assert early.selection.chosen == ()


@pytest.mark.parametrize("text", ["writer=1", "show:x", "show:x=99", "episode:1=2", "topic:=1", "show:x=-1"])
def test_a_weight_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no weight"):
        parse_weights([text])


def test_overlap() -> None:
    assert (overlap([1, 2, 3], [2, 3, 4]), overlap([], []), overlap([1], [])) == (2 / 3, 1.0, 0.0)


def test_the_commands(
    tmp_path: Path,
    sqlite: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = fill(sqlite, settings)
    for key, value in environ_of(tmp_path).items():
        monkeypatch.setenv(key, value)
    assert run(["digest", "explain", str(made)]) == 0
    assert "12 candidates" in capsys.readouterr().out
    assert run(["digest", "replay", "--date", "2026-11-20", "--weight", "show:Show 1=0.1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["chosen"][0]["show"] == "Show 2" and told["overlap"] == 1.0
    assert run(["digest", "replay", "--date", "2026-11-20"]) == 0
    assert "3 of the 3 that were sent are among these" in capsys.readouterr().out
    assert run(["digest", "replay", "--date", "2026-11-20", "--weight", "x"]) == 2
    assert run(["digest", "explain", "99"]) == 3
