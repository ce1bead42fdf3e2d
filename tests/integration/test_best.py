"""The day's best compared in pairs by a served model, when an episode is related; the digest follows them."""

from __future__ import annotations

import math

import pytest
from sqlalchemy import update

from pipeline.clock import FixedClock
from pipeline.digest.compose import build, compose
from pipeline.digest.replay import replay
from pipeline.engine.step import step
from pipeline.insight import llm_wire
from pipeline.insight.relate import same_reason
from pipeline.records import Findings, Origin
from pipeline.settings import Settings
from pipeline.stages import Workshop
from pipeline.store import digests, episodes, insights, matches
from pipeline.store.database import Database
from pipeline.store.tables import insight
from tests.conftest import NOW
from tests.fakes.rows import add_insights, add_subscriber
from tests.fakes.scripts import Says
from tests.fakes.sglang import FakeSglang

SUBJECTS = {
    "Rye": "Rye bread keeps for nine days when its crust is brushed with starch right after the oven.",
    "Glass": "A glass furnace that is never cooled uses less gas in a year than one that is cooled on Sundays.",
    "Ferry": "Ferries that leave every ten minutes need no timetable, and more people take them than before.",
    "Bees": "Hives on roofs bring more honey than those in fields, since gardens bloom for half of the year.",
}
WORTH = {"Rye": 0.0, "Glass": 3.0, "Ferry": 6.0, "Bees": 9.0}
SCORES = {"Rye": 0.9, "Glass": 0.8, "Ferry": 0.7, "Bees": 0.6}


def lean(prompt: str) -> float:
    if "<first>" not in prompt:
        return -5.0
    both = (said.split("</")[0] for said in prompt.split("<first>\n")[1].split("<second>\n"))
    first, second = (next(WORTH[n] for n, text in SUBJECTS.items() if text in said) for said in both)
    return 5.0 + first - second  # and it favours the first place


def related(db: Database, settings: Settings, server: FakeSglang | None) -> dict[str, int]:
    """Four shows with one insight of a language model each, related one after the other: ids by subject."""
    llm = settings.llm.model_validate({"url": server.url if server else None})
    shop = Workshop(settings.model_copy(update={"llm": llm}), db, FixedClock(NOW))
    relate = next(s for s in shop.stages() if s.name == "relate")
    ids = {}
    for n, (name, text) in enumerate(SUBJECTS.items(), 1):
        with db.begin() as conn:
            (ids[name],) = add_insights(conn, NOW, [text], show=n, n=n, scores=[SCORES[name]])
            conn.execute(update(insight).values(writer="moe"))
            assert episodes.advance(conn, n, "done", "relate")
        assert step(db, FixedClock(NOW), relate, n) == "done"
    return ids


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_wire, "FIRST_PAUSE_S", 0.001)


def test_the_best_are_compared_once_and_the_digest_follows(db: Database, settings: Settings) -> None:
    with FakeSglang(Says(leaning=lean)) as server:
        ids = related(db, settings, server)
        prompts = [p for p in server.counts.prompts if "<first>" in p]
    names = {i: n for n, i in ids.items()}
    with db.begin() as conn:
        wins = matches.between(conn, ids.values())
        assert len(wins) <= 4 * math.log2(4) and len(prompts) == 2 * len(wins)
        assert all((WORTH[names[a]] > WORTH[names[b]]) == (chance > 0.5) for (a, b), chance in wins.items())
        who = add_subscriber(conn, NOW, count=3)
        made = compose(conn, who, settings, same_reason, NOW)
        titles = [names[i.insight.id] for i in made.issue.items]
        assert titles == ["Bees", "Ferry", "Glass"]  # by score it were Rye, Glass, Ferry
        again = replay(conn, who, NOW.date(), settings, same_reason, {})
        assert [names[c.insight.id] for c in again.selection.chosen] == titles
        digest = build(conn, who, settings, same_reason, NOW)
        assert digest is not None
        told = digests.get(conn, digest)["explanation"]
        assert "comparisons" in told["chosen"][0]["reason"] and told["chosen"][0]["score"] == 0.9
        # An insight that goes takes its games with it.
        insights.save(conn, 1, Findings(Origin("moe"), (), ()), [], [], NOW)
        assert all(ids["Rye"] not in pair for pair in matches.between(conn, ids.values()))


def test_a_server_that_is_away_delays_nobody(db: Database, settings: Settings) -> None:
    with FakeSglang(Says(leaning=lean)) as server:
        server.starting = True
        ids = related(db, settings, server)
    with db.begin() as conn:
        assert matches.between(conn, ids.values()) == {}
        made = compose(conn, add_subscriber(conn, NOW, count=3), settings, same_reason, NOW)
        assert [i.insight.id for i in made.issue.items] == [ids["Rye"], ids["Glass"], ids["Ferry"]]
