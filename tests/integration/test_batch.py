"""A day's questions through files: export, an offline engine, import, until there are insights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from pipeline.cli import insight_batch
from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.engine.step import step
from pipeline.insight.batch_relate import BatchRelating
from pipeline.insight.batch_work import BatchWork, Turn
from pipeline.insight.prompts import prompt
from pipeline.insight.relate import same_reason
from pipeline.insight.toolbox import Toolbox
from pipeline.records import Findings, InsightDraft, Origin
from pipeline.settings import Settings, load
from pipeline.stages import Workshop, context_of
from pipeline.store import batches, episodes, insights, transcripts
from pipeline.store.database import Database, open_database
from pipeline.store.tables import episode as episode_table
from pipeline.store.tables import insight_drop, insight_link, insight_match, llm_call
from tests.conftest import NOW, Call, environ_of
from tests.fakes.engine import answer_file
from tests.fakes.rows import add_episode, add_subscriber
from tests.fakes.scripts import Writes
from tests.fakes.sglang import FakeSglang
from tests.fakes.talk import DOUGH, WASTE, dough, good, talk

HOUR = timedelta(hours=1)


@pytest.fixture
def server() -> Iterator[FakeSglang]:
    script = Writes([good(), dough(), good(insight="It is what it is.", evidence=list(WASTE[:2]))])
    with FakeSglang(script, sglang=False) as running:
        yield running


@pytest.fixture(scope="module")
def tools() -> Toolbox:
    return Toolbox()


def add(db: Database, n: int, stage: str) -> int:
    with db.begin() as conn:
        made = add_episode(conn, NOW, show=n, n=n, stage=stage)
        transcripts.save(conn, made, talk(), NOW)
    return made


class Rounds:
    """Goes through files until nothing is open."""

    def __init__(self, db: Database, tools: Toolbox, server: FakeSglang, folder: Path):
        self.db, self.server, self.folder = db, server, folder
        self.work = BatchWork(db, FixedClock(NOW), tools, context_of, "any")
        self.sizes: list[int] = []

    def until_done(self, episode_id: int, most: int = 8) -> Turn:
        for k in range(most):
            turn = self.work.turn(episode_id)
            if not turn.questions:
                return turn
            self.sizes.append(len(turn.questions))
            asked, answers = self.folder / f"q{k}.jsonl", self.folder / f"a{k}.jsonl"
            assert insight_batch._write(asked, [turn]) == len(turn.questions)
            answer_file(self.server, asked, answers)
            counts = insight_batch._read(self.db, answers)
            assert counts["kept"] == counts["lines"] == len(turn.questions)
        raise AssertionError("it never ends")


def test_files_bring_what_a_served_model_brings(
    db: Database, settings: Settings, clock: FixedClock, tools: Toolbox, server: FakeSglang, tmp_path: Path
) -> None:
    episode = add(db, 1, "extract")
    rounds = Rounds(db, tools, server, tmp_path)
    done = rounds.until_done(episode)
    assert done.insights == 2 and len(rounds.sizes) <= 4
    with db.begin() as conn:
        assert episodes.get(conn, episode)["stage"] == "relate"
        by_file = insights.of_episode(conn, episode)
        calls = list(conn.execute(select(llm_call)))
        assert batches.open_(conn) == {}
    assert {(i.writer, i.model) for i in by_file} == {("moe", "smol-moe")}
    assert {c.purpose for c in calls} == {"extract", "rewrite", "support", "score", "same"}
    assert all(c.outcome == "ok" or c.purpose == "rewrite" for c in calls) and all(c.prompt_tokens for c in calls)
    # The same episode by the served model: same titles, texts, quotes and scores.
    server.script.offered.clear()  # type: ignore[attr-defined]
    other = add(db, 2, "extract")
    llm = settings.llm.model_validate({"url": server.url})
    shop = Workshop(settings.model_copy(update={"llm": llm}), db, clock)
    assert step(db, clock, next(s for s in shop.stages() if s.name == "extract"), other) == "done"
    with db.begin() as conn:
        served = insights.of_episode(conn, other)
    told = [[(i.title, i.text, i.quote, i.first, i.last) for i in some] for some in (by_file, served)]
    assert told[0] == told[1]
    assert [i.score for i in by_file] == pytest.approx([i.score for i in served])
    # And on it goes: links are made, a digest is built of it.
    relate = next(s for s in Workshop(settings, db, clock).stages() if s.name == "relate")
    assert step(db, clock, relate, episode) == "done"
    with db.begin() as conn:
        assert build(conn, add_subscriber(conn, NOW), settings, same_reason, NOW) is not None


def test_selected_insights_are_replaced_but_what_was_sent_stays_and_is_not_told_again(
    db: Database, settings: Settings, tools: Toolbox, server: FakeSglang, tmp_path: Path
) -> None:
    episode = add(db, 1, "done")

    def selected(title: str, evidence: tuple[int, ...], score: float) -> InsightDraft:
        text = " ".join(talk().sentences[n].text for n in evidence)
        return InsightDraft(title, text, text, evidence, evidence[0], evidence[-1], 8.0, 40.0, "Ana Ruiz", score)

    drafts = (selected("Bread was thrown away", WASTE, 0.9), selected("Dough decides", DOUGH, 0.1))
    vectors = list(np.eye(2, 384, dtype=np.float32))
    with db.begin() as conn:
        insights.save(conn, episode, Findings(Origin("selecting"), (), drafts), ["a" * 32, "b" * 32], vectors, NOW)
        who = add_subscriber(conn, NOW, count=3)
        floor = settings.digest.model_copy(update={"floor": 0.5})
        assert build(conn, who, settings.model_copy(update={"digest": floor}), same_reason, NOW) is not None
        assert batches.todo(conn, NOW) == [] and batches.todo(conn, NOW.replace(day=18)) == [episode]
    assert Rounds(db, tools, server, tmp_path).until_done(episode).insights == 2
    with db.begin() as conn:
        now = {i.title: i.writer for i in insights.of_episode(conn, episode)}
        dropped = list(conn.execute(select(insight_drop.c.reason, insight_drop.c.detail)))
        assert batches.todo(conn, NOW.replace(day=18)) == []
    assert now == {"Bread was thrown away": "selecting", dough()["title"]: "moe"}
    assert ("sent already", good()["title"]) in [tuple(d) for d in dropped]


def test_answers_that_fail_are_asked_again_and_bad_lines_hurt_nobody(
    sqlite: Database, tools: Toolbox, server: FakeSglang, tmp_path: Path
) -> None:
    episode = add(sqlite, 1, "extract")
    work = BatchWork(sqlite, FixedClock(NOW), tools, context_of, "any")
    first = work.turn(episode)
    assert work.turn(episode).questions == first.questions  # nothing was answered, nothing changes
    asked, answers = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    insight_batch._write(asked, [first])
    answer_file(server, asked, answers, lambda a: a | {"response": None, "error": {"code": "batch_expired"}})
    answers.write_bytes(
        answers.read_bytes()
        + b"\nnot JSON\n\n"
        + b'{"custom_id": "podsift-9-extract-0", "response": {"status_code": 200, "body": {"choices": '
        + b'[{"message": {"content": "{}"}}]}}}\n'
        + b"x" * 3_000_000
    )
    counts = insight_batch._read(sqlite, answers)
    assert counts == {"lines": len(first.questions) + 3, "kept": 0, "failed": 1, "unknown": 1, "bad": 2}
    assert work.turn(episode).questions == first.questions


def test_an_episode_that_went_on_meanwhile_is_left_alone(
    sqlite: Database, tools: Toolbox, server: FakeSglang, tmp_path: Path
) -> None:
    episode = add(sqlite, 1, "extract")
    rounds = Rounds(sqlite, tools, server, tmp_path)
    rounds.work.turn(episode)
    with sqlite.begin() as conn:
        episodes.advance(conn, episode, "extract", "transcribe")
    assert "transcribe" in (rounds.work.turn(episode).error or "")
    with sqlite.begin() as conn:
        assert list(batches.open_(conn)) == [episode] and insights.of_episode(conn, episode) == []


def test_what_words_judged_is_asked_about_and_judged_as_a_served_model_would(
    db: Database, settings: Settings, clock: FixedClock, server: FakeSglang, tmp_path: Path
) -> None:
    def leaning(prompt: str) -> float:
        asked = prompt.rsplit("</newer>", 1)[-1]
        return 4.0 if "further step" in asked or "very claim, finding" in asked or "better" in asked else -4.0

    server.script.leaning = leaning  # type: ignore[attr-defined]
    near = np.zeros((2, 384), dtype=np.float32)
    near[0, 0], near[1, :2] = 1.0, (0.6, 0.8)
    made = [add(db, k + 1, "done") for k in range(2)]
    with db.begin() as conn:
        for k, (episode, said) in enumerate(zip(made, (good(), dough()), strict=True)):
            text, evidence = said["insight"], tuple(said["evidence"])
            draft = InsightDraft(said["title"], text, text, evidence, 1, 5, 8.0, 40.0, "Ana Ruiz", 0.9 - k / 10)
            insights.save(conn, episode, Findings(Origin("moe"), (), (draft,)), ["k" * 31 + str(k)], [near[k]], NOW)
        conn.execute(update(episode_table).values(published=NOW))
        conn.execute(update(episode_table).where(episode_table.c.id == made[1]).values(published=NOW + HOUR))
    shop = Workshop(settings, db, clock)
    relate = next(s for s in shop.stages() if s.name == "relate")

    def links_now() -> list[Any]:
        with db.begin() as conn:
            return [(r.kind, r.reason, r.judge) for r in conn.execute(select(insight_link))]

    def again(shop: Workshop) -> None:
        with db.begin() as conn:
            episodes.advance(conn, made[1], "done", "relate")
        assert step(db, clock, next(s for s in shop.stages() if s.name == relate.name), made[1]) == "done"

    again(shop)
    assert [judge for _, _, judge in links_now()] == ["words"]
    with db.begin() as conn:
        assert batches.unrelated(conn, NOW) == made and batches.unrelated(conn, NOW + 2 * HOUR) == []
    work = BatchRelating(db, clock, "any", timedelta(days=3))
    files = 0
    while (turn := work.turn(made[1])).questions:
        files += 1
        asked, answers = tmp_path / f"q{files}.jsonl", tmp_path / f"a{files}.jsonl"
        insight_batch._write(asked, [turn])
        answer_file(server, asked, answers)
        assert insight_batch._read(db, answers)["kept"] == len(turn.questions)
    assert files == 1 and turn.links == 2  # one link, one comparison
    by_file = links_now()
    with db.begin() as conn:
        assert batches.unrelated(conn, NOW) == [] and batches.open_(conn, relating=True) == {}
        compared = {r.judge for r in conn.execute(select(insight_match))}
    # By the served model it is the same.
    llm = settings.llm.model_validate({"url": server.url})
    again(Workshop(settings.model_copy(update={"llm": llm}), db, clock))
    assert by_file == links_now() and [kind for kind, _, _ in by_file] == ["extends"]
    assert compared == {prompt("compare").version}
    # What is asked of the older one is nothing: each pair is the newer one's.
    assert work.turn(made[0]) == Turn(made[0], "Episode 1")


def test_the_commands(call: Call, server: FakeSglang, tmp_path: Path) -> None:
    code, out, _ = call("insight", "export-batch", "q.jsonl")
    assert code == 0 and "No episode waits" in out and not (tmp_path / "q.jsonl").exists()
    db = open_database(load(environ=environ_of(tmp_path)))
    episode = add(db, 1, "extract")
    code, out, _ = call("insight", "export-batch", "q.jsonl", "--model", "big-one")
    assert code == 0 and "1 question about 1 episode: q.jsonl" in out and "import-batch" in out
    asked = [json.loads(raw) for raw in (tmp_path / "q.jsonl").read_text().splitlines()]
    assert [a["body"]["model"] for a in asked] == ["big-one"]
    assert call("insight", "import-batch", "q.jsonl")[0] == 2  # the questions are no answers
    for _ in range(6):
        answer_file(server, tmp_path / "q.jsonl", tmp_path / "a.jsonl")
        code, out, _ = call("insight", "import-batch", "a.jsonl", "--next", "q.jsonl", "--json")
        told = json.loads(out)
        assert code == 0 and told["bad"] == told["unknown"] == told["failed"] == 0
        if told["finished"]:
            break
    assert told["finished"] == [{"episode": episode, "insights": 2}] and told["questions"] == 0
    with db.begin() as conn:
        assert len(insights.of_episode(conn, episode)) == 2
    db.close()
    code, out, _ = call("insight", "import-batch", "a.jsonl")
    assert code == 2
    assert not list(tmp_path.glob(".*.part"))
