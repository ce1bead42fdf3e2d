"""`podsift rank distill`: from insights of a served model in the database to a ranker that finds them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from pipeline.clock import FixedClock
from pipeline.insight.relate import text_key
from pipeline.insight.toolbox import Toolbox
from pipeline.insight.tuned import FILE
from pipeline.records import EpisodeContext, Findings, InsightDraft, Origin, Sentence, Transcript
from pipeline.settings import load
from pipeline.stages import Workshop
from pipeline.store import insights, transcripts
from pipeline.store.database import Database, open_database
from pipeline.store.tables import insight
from tests.conftest import NOW, Call, environ_of
from tests.fakes.embedder import WordEmbedder
from tests.fakes.rows import add_episode

# The model of this test finds an insight wherever somebody speaks of the sea; the shipped ranker knows nothing of that.
SEA = (
    "The tide carries the sand from the northern beach to the harbour every winter, so it is dredged in spring.",
    "Fishermen read the swell and not the wind, because the swell tells what the sea will do in six hours.",
    "Kelp grows half a metre a day where the cold water rises, and the crabs move into it within weeks of that.",
)
OTHER = (
    "We went to the office, and then we had the meeting, and then everybody went home again as they always do.",
    "Managers who ask for estimates twice get longer ones, since people add what they feared the first time around.",
    "Thank you so much for having me on, it is lovely to be here, and hello to everybody who is listening to us.",
    "Good teachers let a class guess before they explain, because a wrong guess makes the answer easier to remember.",
    "It was a Tuesday, I think, or maybe a Wednesday, and I was on the train and somebody had left a newspaper.",
)


def spoken(n: int) -> tuple[Transcript, list[int]]:
    """An episode of 20 long sentences by two voices, and the numbers of those about the sea."""
    rng = random.Random(n)
    about = sorted(rng.sample(range(20), 3))
    said = [
        Sentence(k, 8.0 * k, 8.0 * k + 7, rng.choice(SEA) if k in about else rng.choice(OTHER), f"Voice {k % 2}")
        for k in range(20)
    ]
    return Transcript("en", 160.0, tuple(said), "publisher"), about


def fill(db: Database, count: int) -> None:
    for n in range(1, count + 1):
        transcript, about = spoken(n)
        drafts = [
            InsightDraft(
                f"Sea {k}", f"Sea {n} {k}", transcript.sentences[k].text, (k,), k, k, 8.0 * k, 8.0 * k + 7, None, 0.8
            )
            for k in about
        ]
        with db.begin() as conn:
            made = add_episode(conn, NOW, show=n % 3, n=n, stage="done")
            transcripts.save(conn, made, transcript, NOW)
            found = Findings(Origin("moe", "big-moe"), (), tuple(drafts))
            vectors = list(np.eye(len(drafts), 384, dtype=np.float32))
            insights.save(conn, made, found, [text_key(d.text) for d in drafts], vectors, NOW)


def test_the_ranker_learns_from_the_served_model(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toolbox, "embedder", WordEmbedder())  # the words of these few sentences are all that matters
    settings = load(environ=environ_of(tmp_path))
    code, _, err = call("rank", "distill")
    assert code == 2 and "no insights of a language model" in err and "llm.url" in err
    db = open_database(settings)
    fill(db, 12)
    path = settings.data_dir / FILE
    code, out, _ = call("rank", "distill", "--use", "--json")
    told = json.loads(out)
    assert code == 0 and told["better"] and told["used"] and path.exists()
    assert (told["model"], told["episodes"]) == ("big-moe", 12)
    assert told["tuned"]["ndcg"] > told["shipped"]["ndcg"] + 0.2
    code, out, _ = call("rank", "show", "--json")
    assert json.loads(out)["tuned_on"] == "big-moe" and "tuned" in json.loads(out)["in_use"]
    # From now on the selecting writer of the stages looks for the sea.
    shop = Workshop(settings, db, FixedClock(NOW))
    transcript, about = spoken(999)
    best = shop.toolbox.selecting.find(transcript, EpisodeContext())
    assert "tuned" in (best.origin.model or "")
    top = sorted(best.passages, key=lambda p: -p.score)[:4]
    assert sum(any(p.first <= k <= p.last for k in about) for p in top) == 3
    assert call("rank", "reset")[0] == 0 and not path.exists()
    # A model of which nothing can be learnt beyond chance is told so, and not used.
    rng = random.Random(5)
    with db.begin() as conn:
        for row in conn.execute(insight.select()).all():
            k = rng.randrange(20)
            conn.execute(update(insight).where(insight.c.id == row.id).values(evidence=[k], first=k, last=k))
    code, out, _ = call("rank", "distill", "--use")
    assert code == 1 and "Not better for sure" in out and not path.exists()
    db.close()
