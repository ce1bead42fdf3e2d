"""The export can be read by others; retention deletes what it may and nothing that is promised."""

from __future__ import annotations

import json
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from pipeline.backup.export import export, vtt
from pipeline.backup.prune import due, prune
from pipeline.cli.main import run
from pipeline.errors import UsageError
from pipeline.feed.opml import read_opml
from pipeline.records import Sentence
from pipeline.settings import RetentionSettings, Settings
from pipeline.store.database import Database
from pipeline.store.tables import (
    block,
    episode,
    insight,
    insight_drop,
    ledger,
    metadata,
    outbox,
    outbox_message,
    sentence,
    stage_run,
    transcript,
)
from pipeline.transcript.vtt import read_vtt
from tests.conftest import NOW
from tests.unit.backup.test_backup import fill

ALL = RetentionSettings(audio_days=1, transcript_days=1, mail_days=1, record_days=1)
NONE = RetentionSettings(audio_days=0, transcript_days=0, mail_days=0, record_days=0)


def test_an_export_can_be_read(db: Database, settings: Settings, tmp_path: Path) -> None:
    fill(db, settings)
    counts = export(db, settings, tmp_path / "out", NOW)
    with db.begin() as conn:
        there = {t.name: conn.execute(select(func.count()).select_from(t)).scalar() for t in metadata.sorted_tables}
    lines = {n: (tmp_path / "out" / "tables" / f"{n}.jsonl").read_text().splitlines() for n in there}
    assert {n: len(found) for n, found in lines.items()} == there == {n: counts[n] for n in there}
    first = json.loads(lines["insight"][0])
    assert len(first["vector"]) == 384 and first["made_at"] == "2026-11-20T08:00:00Z"
    assert "nonce" not in json.loads(lines["subscriber"][0]) and "credentials" not in json.loads(lines["feed"][0])
    assert len(read_opml((tmp_path / "out" / "feeds.opml").read_bytes())) == 2
    (spoken,) = (tmp_path / "out" / "transcripts").iterdir()
    read = read_vtt(spoken.read_text())
    assert [(s.text, s.speaker) for s in read][1] == ("Another claim, ünïcode 🎧.", "Ada")
    (told,) = (tmp_path / "out" / "episodes").iterdir()
    assert "> Another claim, ünïcode 🎧." in told.read_text()
    assert (tmp_path / "out" / "mails" / "1.eml").read_bytes().startswith(b"From:")
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    with pytest.raises(UsageError, match="not empty"):
        export(db, settings, tmp_path / "out", NOW)


def test_cues_cannot_be_broken_by_what_was_said() -> None:
    evil = Sentence(1, 1.0, 2.0, "a\n\n00:00:05.000 --> 00:00:06.000\n<b>x & y", "A\n>B")
    (read,) = read_vtt(vtt([evil]))
    assert (read.start, read.end) == (1.0, 2.0)
    assert read.text == "a 00:00:05.000 --> 00:00:06.000 <b>x & y"


def old(db: Database, settings: Settings, tmp_path: Path) -> Path:
    fill(db, settings)
    audio = tmp_path / "audio"
    audio.mkdir()
    for name in ("1.mp3", "2.part", "77.mp3"):
        (audio / name).write_bytes(b"x")
        os.utime(audio / name, (0, 0))
    (audio / "88.part").write_bytes(b"being written")
    os.utime(audio / "88.part", (NOW.timestamp() + 3 * 86400,) * 2)
    with db.begin() as conn:
        conn.execute(update(outbox).values(state="sent"))
        conn.execute(update(episode).where(episode.c.id == 1).values(audio_path=str(audio / "1.mp3")))
        conn.execute(insert(insight_drop).values(episode_id=1, reason="r", detail="d", at=NOW))
        run_ = {"episode_id": 1, "stage": "extract", "at": NOW, "seconds": 1.0, "outcome": "done", "gpu": False}
        conn.execute(insert(stage_run), [run_, run_ | {"at": NOW + timedelta(days=2)}])
    return audio


def n(db: Database, table: object) -> int:
    with db.begin() as conn:
        return int(conn.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_what_is_old_goes_and_what_is_promised_stays(db: Database, settings: Settings, tmp_path: Path) -> None:
    audio = old(db, settings, tmp_path)
    later = NOW + timedelta(days=2, hours=1)
    names = "audio files,transcripts,mail bodies,polls,model calls,dropped candidates,stage runs,bounces"
    assert due(db, ALL, NOW) == dict.fromkeys(names.split(","), 0)
    told = due(db, ALL, later)
    assert (told["audio files"], told["transcripts"], told["mail bodies"], told["stage runs"]) == (1, 1, 1, 1)
    assert n(db, sentence) == 2  # a dry run changes nothing
    gone = prune(db, ALL, later, audio)
    assert {k: v for k, v in gone.items() if k in told} == told
    assert sorted(p.name for p in audio.iterdir()) == ["2.part", "88.part"]
    assert (n(db, sentence), n(db, block), n(db, transcript), n(db, stage_run)) == (0, 0, 1, 1)
    assert (n(db, insight), n(db, ledger), n(db, outbox)) == (2, 2, 1)
    with db.begin() as conn:
        assert conn.execute(select(insight.c.quote)).scalars().all()[0] == "A claim with 3 numbers."
        assert conn.execute(select(outbox_message.c.message)).scalar() == b""
    assert set(prune(db, ALL, later, audio).values()) == {0}


def test_a_mail_that_may_go_yet_keeps_its_bytes(db: Database, settings: Settings) -> None:
    fill(db, settings)
    for state in ("queued", "deferred", "claimed", "transmitting", "uncertain"):
        with db.begin() as conn:
            conn.execute(update(outbox).values(state=state))
        assert prune(db, ALL, NOW + timedelta(days=900))["mail bodies"] == 0


def test_no_limit_keeps_everything(db: Database, settings: Settings) -> None:
    fill(db, settings)
    assert prune(db, NONE, NOW + timedelta(days=9000)) == {}


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PODSIFT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert run(["prune", "--dry-run"]) == 0
    assert "nothing was deleted" in capsys.readouterr().out
    assert run(["prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"]["polls"] == 0
    assert run(["export", "out"]) == 0 and run(["export", "out"]) == 2
    assert "0 feeds" in capsys.readouterr().out
