"""A digest in other words: JSON, a short text, Markdown. Hostile titles stay text."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.channel.issue import SHORT, as_json, as_short_text
from pipeline.channel.markdown import as_markdown, plain, tag
from pipeline.email.render import quoted, render
from pipeline.records import DigestIssue, DigestItem, StoredInsight
from pipeline.settings import Settings
from tests.conftest import NOW
from tests.unit.email.test_message import WHO

INSIGHT = StoredInsight(
    7, 1, 1, "Queues lie about lateness", "Queues lie about lateness.", "Queues lie about lateness.", 0, 0,
    247.0, 260.0, "Ada", 0.9, "selecting", None, "The Slow Software Hour", "Queues", "https://example.org/7", NOW,
    "publisher", False, ("Waiting Lines", "2026", "c++"),
)  # fmt: skip


def issue(*insights: StoredInsight) -> DigestIssue:
    return DigestIssue("2026-11-20", tuple(DigestItem(k, i) for k, i in enumerate(insights, 1)), 5, 9, 3, "A thin day.")


def ours(settings: Settings) -> Settings:
    return Settings.model_validate(settings.model_dump() | {"web": {"base_url": "https://pods.example.org"}})


def test_json_names_the_proof_and_nobody(settings: Settings) -> None:
    data = json.loads(as_json(issue(INSIGHT), 4, ours(settings)))
    assert data["type"] == "digest.ready" and data["data"]["digest"] == 4
    (found,) = data["data"]["insights"]
    assert (found["quote"], found["speaker"], found["start_s"]) == ("Queues lie about lateness.", "Ada", 247.0)
    assert found["page"] == "https://pods.example.org/i/7" and found["topics"] == ["Waiting Lines", "2026", "c++"]


def test_a_short_text_keeps_every_insight_within_a_chats_room(settings: Settings) -> None:
    long = replace(INSIGHT, text="word " * 200, quote="word " * 200, title="A title " * 30, episode="An episode " * 30)
    title, text = as_short_text(issue(*[long] * 10), ours(settings))
    assert title == "Ten worth knowing: Friday, 20 November"
    assert len(text) <= SHORT
    title, text = as_short_text(issue(INSIGHT), ours(settings))
    assert text.splitlines() == [
        "1. Queues lie about lateness", "\u201cQueues lie about lateness.\u201d",
        "Ada, The Slow Software Hour, Queues, at 4:07", "https://pods.example.org/i/7",
    ]  # fmt: skip


def test_markdown_has_properties_tags_and_quotes(settings: Settings) -> None:
    text = as_markdown(issue(INSIGHT), ours(settings))
    _, front, body = text.split("---\n", 2)
    properties = yaml.safe_load(front)
    assert properties["tags"] == ["podsift", "waiting-lines", "c"] and properties["shows"] == ["The Slow Software Hour"]
    assert str(properties["date"]) == "2026-11-20"
    assert "## 1. Queues lie about lateness\n" in body and "> \u201cQueues lie about lateness.\u201d" in body
    assert "[Queues](<https://example.org/7>), at 4:07" in body
    assert "[Listen and read on](<https://pods.example.org/i/7>)" in body
    assert text == as_markdown(issue(INSIGHT), ours(settings)) and text.endswith(">)\n")


def test_a_quote_is_shown_from_where_the_text_begins_and_once(settings: Settings) -> None:
    i = replace(INSIGHT, text="Queues lie about lateness.", quote="And so, queues lie about lateness.")
    assert quoted(i) == "\u2026 queues lie about lateness."
    assert "\u201c\u2026 queues lie about lateness.\u201d" in as_short_text(issue(i), settings)[1]
    text = as_markdown(issue(i), settings)
    assert "\u201c\u2026 queues lie about lateness.\u201d" in text and text.count("lie about lateness.") == 1
    mail = render(issue(i), WHO, settings)
    assert (
        '"\u2026 queues lie about lateness."' in mail.text
        and "\u201c\u2026 queues lie about lateness.\u201d" in mail.html
    )
    assert mail.text.count("lie about lateness.") == mail.html.count("lie about lateness.") == 1
    (found,) = json.loads(as_json(issue(i), 4, settings))["data"]["insights"]
    assert (found["text"], found["quote"]) == (i.text, i.quote)


def test_a_quote_is_shown_whole_beside_a_text_of_other_words() -> None:
    for text in ("Lateness shows in a queue's age.", "Q", "Lie about lateness!", "And so, queues lie about lateness."):
        i = replace(INSIGHT, text=text, quote="And so, queues lie about lateness.")
        assert quoted(i) == i.quote


HOSTILE = "[[Vault note]] #tag %%hidden%% ![img](x) <script> `code` $x$ \n---\n# A heading\n\u2028> quote"


def test_nothing_of_a_feed_becomes_markup(settings: Settings) -> None:
    bad = replace(
        INSIGHT, title=HOSTILE, text=HOSTILE, quote=HOSTILE, speaker=HOSTILE, show=HOSTILE, episode=HOSTILE,
        episode_url="https://example.org/>)<script>", topics=("../../etc", "#x [[y]]"),
    )  # fmt: skip
    text = as_markdown(issue(bad), ours(settings))
    body = text.split("---\n", 2)[2]
    assert not re.search(r"(?<!\\)\[\[|(?<!\\)%%|(?<!\\)<script|(?<!\\)`|(?<!\\)\$|(?<!\\)!\[", body)
    assert len(re.findall(r"^# ", body, re.M)) == 1 and not re.search(r"^---", body, re.M)
    assert yaml.safe_load(text.split("---\n")[1])["tags"] == ["podsift", "etc", "x-y"]


@given(st.text(max_size=80))
def test_any_text_is_one_line_and_any_topic_a_tag_or_none(text: str) -> None:
    assert "\n" not in plain(text) and "\u2028" not in plain(text)
    made = tag(text)
    assert made is None or re.fullmatch(r"[\w-]+", made)
