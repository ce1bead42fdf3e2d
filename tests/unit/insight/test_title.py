from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.insight.numbers import bare_number
from pipeline.insight.title import claim, title_of

SAMPLES = Path(__file__).resolve().parents[3] / "samples"


@pytest.mark.parametrize(
    ("sentences", "title"),
    [
        (
            ["Well, you know, approachability is more important than flexibility."],
            "Approachability is more important than flexibility",
        ),
        (
            ["So we saw that smart bulbs become dumb instantaneously."],
            "Smart bulbs become dumb instantaneously",
        ),
        (
            ["When the oldest job passes 5 minutes, we refuse new ones at the door with a clear message."],
            "When the oldest job passes 5 minutes, we refuse new ones",
        ),
        (
            ["Developer productivity, I think, is very often understood in terms of feedback loops."],
            "Developer productivity is very often understood in terms of feedback loops",
        ),
        (
            ["So these artifacts that would give away a deepfake.", "Faces have a fingerprint that is hard to copy."],
            "Faces have a fingerprint that is hard to copy",
        ),
        (["If you make mistakes, the whole node crashes, obviously."], "If you make mistakes, the whole node crashes"),
        (
            ["I don't want issues.\" As maintainers, we are so anxious when every new issue comes in."],
            "We are so anxious when every new issue comes in",
        ),
        (["Yes."], "Yes"),
        ([""], ""),
    ],
)
def test_titles(sentences: list[str], title: str) -> None:
    assert title_of(sentences) == title


@pytest.mark.parametrize(
    "sentence",
    [
        "I don't think that the model understands customers.",
        "If it rains, farmers lose money every single year.",
        "It sells not because it is cheap and simple.",
        "Queues grow, unless somebody watches the oldest job.",
        "The idea works great, up until the point of sending money.",
    ],
)
def test_a_title_keeps_the_condition_and_the_denial(sentence: str) -> None:
    assert title_of([sentence]) == sentence.rstrip(".")


def test_what_goes_on_with_a_condition_is_no_claim() -> None:
    unreal = "If I had done that, and then walked away with nothing - I think that would have been the real shame."
    assert not title_of([unreal]).startswith(("Walked", "If"))
    assert (
        title_of([unreal, "Companies get sold by founders who are tired."])
        == "Companies get sold by founders who are tired"
    )


def test_a_claim_is_worth_more_than_a_question_or_small_talk() -> None:
    good = claim(["Age tells you how late you are, and late is the only thing a customer can feel."])
    assert good > claim(["What do you think about that, Owen?"])
    assert good > claim(["Thanks so much for having me on the podcast today."])


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("Think about 240,000 pull requests.", "Labels bring contributors to the issues they can solve."),
        ("If it comes back, it comes back.", "Focus decides which errands are finished today."),
        ('That\'s exciting for teams, because you can go, "Look at us."', "Slow queues cost every customer an hour."),
        ("Give or take, at 100 meg.", "The upload is just enough for the acknowledgements."),
    ],
)
def test_what_only_points_or_repeats_itself_is_no_claim(shown: str, said: str) -> None:
    assert title_of([shown, said]) == said.rstrip(".")


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("We removed 20, for 90 days", True),
        ("71 were wrong about the price", True),
        ("In 2020 and 2021 it grew", False),
        ("8 megabytes were plenty", False),
        ("It costs $20 in all", False),
    ],
)
def test_a_number_that_counts_what_is_named_elsewhere_is_bare(text: str, bare: bool) -> None:
    assert bare_number(text) == bare


def test_of_good_clauses_the_one_nearest_to_the_passage_is_taken() -> None:
    sentences = ["A mutual fund is a piece of technology.", "A light switch is a matter of comfort."]

    def meaning(texts: Sequence[str]) -> NDArray[np.float32]:
        near = [1.0 if "comfort" in text else 0.0 for text in texts]
        return np.array([[n, (1 - n * n) ** 0.5] for n in near], dtype=np.float32)

    assert title_of(sentences) == "A mutual fund is a piece of technology"
    assert title_of(sentences, meaning) == "A light switch is a matter of comfort"


def test_titles_are_runs_of_the_passages_own_words() -> None:
    episodes = json.loads((SAMPLES / "expectations.json").read_text("utf-8"))["episodes"]
    for episode in episodes:
        for segment in episode["segments"]:
            title = title_of([segment["text"]])
            assert 1 <= len(title.split()) <= 12
            assert title.lower() in segment["text"].lower()
            assert title[-1] not in ",;:."


@settings(deadline=None)  # other work may hold the processor
@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_gives_a_title_of_at_most_12_words(sentences: list[str]) -> None:
    assert len(title_of(sentences).split()) <= 12
