"""From a transcript in the database to insights of a served model, through real HTTP to the stand-in for SGLang."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.clock import FixedClock
from pipeline.digest.compose import compose
from pipeline.engine.step import step
from pipeline.insight import llm_wire
from pipeline.insight.prove import quote_of
from pipeline.settings import Settings
from pipeline.stages import Workshop
from pipeline.store import episodes, insights, llm_calls, transcripts
from pipeline.store.database import Database
from pipeline.store.tables import insight_drop, llm_call
from tests.conftest import Call
from tests.fakes.rows import add_episode, add_subscriber
from tests.fakes.scripts import Writes
from tests.fakes.sglang import FakeSglang
from tests.fakes.talk import DOUGH, INJECTED, WASTE, dough, good, talk

SHARED = Path(__file__).resolve().parents[3] / "shared" / "transcripts"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_wire, "FIRST_PAUSE_S", 0.001)


@pytest.fixture
def server() -> Iterator[FakeSglang]:
    with FakeSglang(Writes([good(), dough(), good(evidence=[*WASTE, INJECTED])])) as running:
        yield running


def with_llm(settings: Settings, server: FakeSglang, **changes: Any) -> Settings:
    llm = settings.llm.model_validate({"url": server.url} | changes)
    return settings.model_copy(update={"llm": llm})


class Bench:
    """One episode that waits for its insights."""

    def __init__(self, db: Database, clock: FixedClock, settings: Settings):
        self.db, self.clock = db, clock
        self.shop = Workshop(settings, db, clock)
        with db.begin() as conn:
            self.episode = add_episode(conn, clock.now(), stage="extract")
            transcripts.save(conn, self.episode, talk(), clock.now())

    def extract(self) -> str:
        stage = next(s for s in self.shop.stages() if s.name == "extract")
        return step(self.db, self.clock, stage, self.episode)

    def row(self) -> dict[str, Any]:
        with self.db.begin() as conn:
            return episodes.get(conn, self.episode)

    def found(self) -> list[Any]:
        with self.db.begin() as conn:
            return insights.of_episode(conn, self.episode)


def test_an_episode_gets_the_models_insights(
    db: Database, clock: FixedClock, settings: Settings, server: FakeSglang
) -> None:
    bench = Bench(db, clock, with_llm(settings, server))
    assert bench.extract() == "done"
    found = bench.found()
    assert {i.title for i in found} == {good()["title"], dough()["title"]}
    assert {(i.writer, i.model) for i in found} == {("moe", "smol-moe")}
    assert {i.quote for i in found} == {quote_of(talk(), WASTE), quote_of(talk(), DOUGH)}
    with db.begin() as conn:
        drops = list(conn.execute(select(insight_drop.c.reason)))
        calls = list(conn.execute(select(llm_call)))
        summary = llm_calls.summary(conn, clock.now())
        spent = llm_calls.tokens_since(conn, clock.now())
    # The third rested on a sentence that no prompt shows, so the script never saw all of its evidence.
    assert drops == []
    assert {c.purpose for c in calls} == {"extract", "support", "score", "same"}
    assert {(c.model, c.revision, c.outcome) for c in calls} == {("smol-moe", "r1", "ok")}
    assert all(c.prompt_version.startswith(c.purpose) and c.seconds > 0 and c.at == clock.now() for c in calls)
    assert sum(c.cached_tokens for c in calls) > 0
    assert spent == sum(c.prompt_tokens + c.completion_tokens for c in calls) > 1000
    assert sum(row["calls"] for row in summary) == len(calls)


def test_a_server_that_is_away_is_waited_for_and_comes_back(
    db: Database, clock: FixedClock, settings: Settings, server: FakeSglang
) -> None:
    bench = Bench(db, clock, with_llm(settings, server))
    server.stop()
    for _ in range(6):  # more often than a stage may fail
        assert bench.extract() == "waits"
    row = bench.row()
    assert row["stage"] == "extract" and row["attempts"] == 0 and row["retry_at"] > clock.now()
    assert "language model" in row["error"] and "away" in row["error"]
    assert bench.found() == []
    server.start()
    server.starting = True
    assert bench.extract() == "waits" and "starting" in bench.row()["error"]
    server.starting = False
    assert bench.extract() == "done"
    assert {i.writer for i in bench.found()} == {"moe"}


def test_the_selecting_writer_stands_in_where_it_may_and_the_digest_says_so(
    db: Database, clock: FixedClock, settings: Settings, server: FakeSglang
) -> None:
    allowed = with_llm(settings, server, fallback=True)
    bench = Bench(db, clock, allowed)
    server.stop()
    assert bench.extract() == "done"
    assert {i.writer for i in bench.found()} == {"selecting"}
    with db.begin() as conn:
        conn.exec_driver_sql("UPDATE episode SET stage = 'done'")
        who = add_subscriber(conn, clock.now())
        made = compose(conn, who, allowed, lambda *_: None, clock.now())
        plain = compose(conn, who, settings, lambda *_: None, clock.now())
    assert made.issue.note is not None and "selected without the language model" in made.issue.note
    assert made.issue.note in made.rendered.html and made.issue.note in made.rendered.text
    assert plain.issue.note is None
    server.start()


def test_a_spent_day_waits_for_midnight(
    db: Database, clock: FixedClock, settings: Settings, server: FakeSglang
) -> None:
    bench = Bench(db, clock, with_llm(settings, server, daily_tokens=500))
    assert bench.extract() == "done"
    other = Bench.__new__(Bench)
    other.db, other.clock, other.shop = db, clock, bench.shop
    with db.begin() as conn:
        other.episode = add_episode(conn, clock.now(), show=2, n=2, stage="extract")
        transcripts.save(conn, other.episode, talk(), clock.now())
    asked = len(server.counts.requests)
    assert other.extract() == "waits"
    row = other.row()
    assert len(server.counts.requests) == asked
    assert "tokens for today are spent" in row["error"] and "of 500 since 00:00 UTC" in row["error"]
    assert (row["retry_at"].hour, row["retry_at"].minute) == (0, 0) and row["retry_at"] > clock.now()
    clock.at = row["retry_at"]
    assert other.extract() == "done"


def transcript_file(folder: Path) -> Path:
    path = folder / "talk.json"
    segments = [
        {"startTime": s.start, "endTime": s.end, "speaker": s.speaker, "body": s.text} for s in talk().sentences
    ]
    path.write_text(json.dumps({"version": "1.0.0", "segments": segments}))
    return path


def test_find_with_the_moe_writer(
    call: Call, tmp_path: Path, server: FakeSglang, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = transcript_file(tmp_path)
    code, _, err = call("insight", "find", str(path), "--json", "--writer", "moe")
    assert code == 4 and "llm.url" in err
    monkeypatch.setenv("PODSIFT_LLM_URL", server.url)
    code, out, _ = call("insight", "find", str(path), "--json", "--writer", "moe")
    found = json.loads(out)
    assert code == 0 and found["writer"] == "moe"
    assert [set(p) for p in found["passages"]] == [{"first", "last", "score"}] * len(found["passages"])
    one = next(i for i in found["insights"] if i["title"] == good()["title"])
    keys = {"title", "insight", "quote", "first", "last", "start_s", "end_s", "speaker", "score"}
    assert set(one) == keys
    assert (one["first"], one["last"], one["speaker"]) == (WASTE[0], WASTE[-1], "Ana Ruiz")
    assert one["quote"] == quote_of(talk(), WASTE)
    code, out, _ = call("insight", "find", str(path), "--json")
    assert code == 0 and json.loads(out)["writer"] == "selecting"
    server.stop()
    code, _, err = call("insight", "find", str(path), "--json", "--writer", "moe")
    assert code == 1 and "away" in err and "try:" in err
    server.start()


def test_the_doctor_asks_the_model(call: Call, server: FakeSglang, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.cli import doctor

    monkeypatch.setattr(doctor, "CHECKS", {"language model": doctor.check_llm})
    assert json.loads(call("doctor", "--json")[1])["language model"]["result"] == "off"
    monkeypatch.setenv("PODSIFT_LLM_URL", server.url)
    code, out, _ = call("doctor", "--json")
    said = json.loads(out)["language model"]
    assert code == 0 and said["result"] == "ok"
    assert "smol-moe behind SGLang, 8,192 tokens of context" in said["says"] and " s, " in said["says"]
    server.script = Writes([], no=("sky",))
    assert json.loads(call("doctor", "--json")[1])["language model"]["result"] == "warn"
    server.stop()
    code, out, _ = call("doctor", "--json")
    said = json.loads(out)["language model"]
    assert code == 5 and said["result"] == "bad" and "llm.url" in said["says"]
    server.start()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared transcripts are not beside the checkout")
def test_a_real_transcript_is_read_whole(call: Call, server: FakeSglang, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.insight.write_parts import usable
    from pipeline.transcript.make import read_podcast_json

    path = SHARED / "brain-science-17.json"
    server.script = Writes([])
    monkeypatch.setenv("PODSIFT_LLM_URL", server.url)
    assert call("insight", "find", str(path), "--json", "--writer", "moe")[0] == 0
    shown = "\n".join(p.split("<|user|>")[1] for p in server.counts.prompts)
    missing = [s.number for s in usable(read_podcast_json(path)) if f"\n[{s.number}] " not in shown]
    assert missing == []
    assert server.counts.cached_tokens > 0.2 * server.counts.prompt_tokens
