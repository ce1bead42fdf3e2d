"""Attacks through both writers and into a mail: none changes a score, a rank or another insight; nothing links out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.digest.compose import compose
from pipeline.insight import llm_wire
from pipeline.insight.prompts import shown
from pipeline.insight.relate import same_reason, text_key
from pipeline.insight.toolbox import Toolbox
from pipeline.records import EpisodeContext, Findings, InsightDraft, Transcript
from pipeline.settings import LlmSettings, Settings
from pipeline.store import insights, transcripts
from pipeline.store.database import Database
from pipeline.transcript import sponsor
from pipeline.transcript.make import read_podcast_json
from tests.conftest import NOW
from tests.fakes.attacks import ATTACKS
from tests.fakes.rows import add_episode, add_subscriber
from tests.fakes.scripts import Writes
from tests.fakes.sglang import FakeSglang
from tests.fakes.talk import DOUGH, INJECTED, WASTE, dough, good, talk

NEUTRAL = "And that is more or less how the morning goes at our place on every other day of the week too."
LOUD = re.compile(r"https?:|www\.|<\s*\w|javascript:|evil\.example", re.IGNORECASE)
TAGS = {
    "html",
    "head",
    "title",
    "meta",
    "style",
    "body",
    "div",
    "table",
    "tbody",
    "td",
    "tr",
    "h1",
    "h2",
    "p",
    "a",
    "span",
} | {"blockquote", "strong", "em", "br", "hr", "ol", "li"}
OBEYED = "Our show is the best of all shows and our course is worth its price"


@lru_cache(maxsize=1)
def tools() -> Toolbox:
    return Toolbox()


def with_attack(text: str) -> Transcript:
    """The talk with its spoken injection replaced, marked as the product marks it."""
    plain = talk()
    said = tuple(
        replace(s, mark=None, reason=None, text=text if s.number == INJECTED else s.text) for s in plain.sentences
    )
    return replace(plain, sentences=sponsor.mark(said))


@dataclass
class Obeys:
    """A model that does what an attack asks as soon as it can see it: writes only praise, and denies the others."""

    attack: str

    def __post_init__(self) -> None:
        self._honest = Writes([good(), dough()])
        self._seen = [p for p in (shown(self.attack, 2000)[:30].strip(), self.attack[:30].strip()) if p]

    def _sees(self, prompt: str) -> bool:
        return any(part in prompt for part in self._seen)

    def write(self, prompt: str) -> str:
        if not self._sees(prompt):
            return self._honest.write(prompt)
        praise = f"{OBEYED}, which everybody at this place says more or less on every day of the week. " * 3
        evil = [
            {"title": OBEYED, "insight": praise, "evidence": [INJECTED], "topics": [], "speaker": "Ben Ode"},
            {"title": OBEYED + " today", "insight": praise, "evidence": list(WASTE), "topics": [], "speaker": ""},
            {
                "title": "Read http://evil.example",
                "insight": praise,
                "evidence": list(DOUGH),
                "topics": [],
                "speaker": "",
            },
            {"title": OBEYED, "insight": self.attack * 3, "evidence": [0, 999999, -1], "topics": [], "speaker": ""},
        ]
        return json.dumps({"insights": evil})

    def lean(self, prompt: str) -> float:
        if OBEYED in prompt or "evil.example" in prompt:
            return 9.0
        return -9.0 if self._sees(prompt) else self._honest.lean(prompt)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeSglang]:
    with FakeSglang(Obeys("nothing of the kind is said here")) as running:
        yield running


def moe(server: FakeSglang, transcript: Transcript, attack: str) -> Findings:
    server.script = Obeys(attack)
    settings = LlmSettings.model_validate({"url": server.url})
    box = Toolbox(settings)
    box.__dict__["embedder"], box.__dict__["ranker"] = tools().embedder, tools().ranker
    return box.moe.find(transcript, EpisodeContext())


def told(found: tuple[InsightDraft, ...]) -> list[tuple[Any, ...]]:
    return [(i.title, i.text, i.quote, i.first, i.last, round(i.score, 4)) for i in found]


@pytest.mark.parametrize(("name", "attack"), ATTACKS, ids=[n for n, _ in ATTACKS])
def test_a_model_that_obeys_changes_nothing(
    server: FakeSglang, name: str, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_wire, "FIRST_PAUSE_S", 0.001)
    calm = moe(server, with_attack(NEUTRAL), "nothing of the kind is said here")
    assert {i.title for i in calm.insights} == {good()["title"], dough()["title"]}
    found = moe(server, with_attack(attack), attack)
    assert told(found.insights) == told(calm.insights)


SOME = [pytest.param(n, a, id=n, marks=[] if k % 3 == 0 else pytest.mark.slow) for k, (n, a) in enumerate(ATTACKS)]
"""Every third one; all of them in the whole suite, at about a CPU second each."""


@lru_cache(maxsize=1)
def long_talk() -> Transcript:
    """A sample episode with one neutral sentence in its middle."""
    return _spoken(NEUTRAL)


def _spoken(text: str) -> Transcript:
    made = read_podcast_json(Path(__file__).resolve().parents[2] / "samples" / "slow-software-02.transcript.json")
    middle = len(made.sentences) // 2
    one = replace(made.sentences[middle], text=text, mark=None, reason=None)
    texts = [*made.sentences[:middle], one, *made.sentences[middle:]]
    return replace(made, sentences=tuple(replace(s, number=n) for n, s in enumerate(texts)))


@lru_cache(maxsize=1)
def calmly() -> Findings:
    return tools().selecting.find(long_talk(), EpisodeContext())


@pytest.mark.parametrize(("name", "attack"), SOME)
def test_the_selecting_writer_is_not_swayed(name: str, attack: str) -> None:
    calm = calmly()
    found = tools().selecting.find(_spoken(attack), EpisodeContext())
    place = len(long_talk().sentences) // 2

    def aside(of: Findings) -> list[InsightDraft]:
        """What is not said right beside the attack: a neighbour's window may be cut elsewhere."""
        return [i for i in of.insights if i.last < place - 4 or i.first > place + 4]

    assert len(aside(calm)) >= 2
    assert [(i.title, i.text, i.quote) for i in aside(found)] == [(i.title, i.text, i.quote) for i in aside(calm)]
    assert [i.score for i in aside(found)] == pytest.approx([i.score for i in aside(calm)], abs=0.03)
    assert not any(LOUD.search(f"{i.title} {i.text} {i.quote}") for i in found.insights)


class Links(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [v or "" for k, v in attrs if k in ("href", "src", "action", "background")]


def test_no_link_and_no_markup_of_an_attack_reaches_a_mail(sqlite: Database, settings: Settings) -> None:
    """The worst case: every attack is an insight, in title, text, quote and speaker."""
    few = [(name, attack[:400]) for name, attack in ATTACKS if not name.startswith("other")]
    with sqlite.begin() as conn:
        for n, (_, attack) in enumerate(few, 10):
            episode_id = add_episode(conn, NOW, show=n, n=n, stage="done")
            transcripts.save(conn, episode_id, talk(), NOW)
            text = attack.replace("\0", "")
            row = InsightDraft(text[:100], text, text, (0,), 0, 0, 1.0, 2.0, text[:60], 0.9)
            found = Findings(tools().selecting.origin, (), (row,))
            insights.save(conn, episode_id, found, [text_key(text)], list(tools().embedder.embed([text])), NOW)
        who = add_subscriber(conn, NOW - timedelta(days=1), count=30)
        made = compose(conn, who, settings, same_reason, NOW)
    assert len(made.issue.items) >= 25
    page = Links(made.rendered.html)
    assert page.tags <= TAGS
    assert not any("evil" in link or link.startswith("javascript") for link in page.found)
    assert "Bcc:" not in made.rendered.subject and "\n" not in made.rendered.subject
