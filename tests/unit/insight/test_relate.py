from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from pipeline.insight.embed import Vectors
from pipeline.insight.relate import expand_acronyms, near_verbatim, same_idea, same_reason, text_key

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
RETRIES = (
    "Retries multiply, they do not add: four layers that each tried three times turned one tap into 81 queries, "
    "so let exactly one layer retry."
)


def vectors(cosine: float) -> tuple[Vectors, Vectors]:
    return (
        np.array([1.0, 0.0], dtype=np.float32),
        np.array([cosine, (1 - cosine**2) ** 0.5], dtype=np.float32),
    )


def same(a: str, b: str, cosine: float) -> bool:
    one, two = vectors(cosine)
    return same_idea(a, one, b, two).same


def test_a_likeness_is_the_same_idea_only_when_words_agree() -> None:
    told_again = (
        "Retries do not add, they multiply across layers: "
        "when four layers tried three times, one tap became 81 queries."
    )
    assert same(RETRIES, told_again, 0.8)
    assert not same(RETRIES, told_again, 0.6)
    assert not same(RETRIES, "Queues of forty thousand labels hurt nobody; three stuck ones did.", 0.8)


def test_other_numbers_or_a_denial_are_another_idea() -> None:
    a = "Standing desks raised output by 12 percent in our office."
    assert same(a, "Standing desks raised our office output by 12 percent.", 0.9)
    assert not same(a, "Standing desks raised our office output by 3 percent.", 0.9)
    assert not same(a, "Standing desks never raised output in our office.", 0.9)


def test_the_same_words_are_the_same_whatever_the_vectors_say() -> None:
    assert same(RETRIES, RETRIES.upper(), 0.1)


def test_the_reason_is_none_when_nothing_can_be_told() -> None:
    one, two = vectors(0.3)
    assert same_reason(RETRIES, one, "Quite another thing.", two) is None
    assert same_reason(RETRIES, None, RETRIES, two) == "nearly the same words"
    assert same_reason(RETRIES, one, "Quite another thing.", np.ones(3, dtype=np.float32)) is None


@pytest.mark.parametrize("share", [0.05, 0.10])
def test_reruns_that_differ_in_some_words_are_near_verbatim(share: float) -> None:
    rng = random.Random(1)
    episodes = json.loads((SAMPLES / "expectations.json").read_text("utf-8"))["episodes"]
    texts = [insight["text"] for episode in episodes for insight in episode["insights"]]
    for text in texts:
        heard = " ".join(w if rng.random() > share else rng.choice(["the", "well", ""]) for w in text.split())
        assert near_verbatim(text, heard)
        assert near_verbatim(text, "So " + " ".join(heard.split()[8:]) + " and that is what we did.")
    for i, a in enumerate(texts):
        assert not any(near_verbatim(a, b) for b in texts[:i])


def test_short_texts_are_compared_too() -> None:
    assert near_verbatim("Yes!", "yes")
    assert not near_verbatim("Yes.", "No.")
    assert not near_verbatim("", "No.")


def test_a_key_ignores_case_punctuation_and_form() -> None:
    assert text_key("Don’t  panic — it's ﬁne.") == text_key("don't panic: IT'S fine")
    assert text_key("a b") != text_key("ab")


def test_acronyms_are_written_out() -> None:
    assert expand_acronyms("An MoE beats two LLMs on a GPU.") == (
        "An mixture of experts beats two large language models on a graphics processor."
    )
    assert expand_acronyms("The total cost of ownership (TCO) rose; TCO matters.") == (
        "The total cost of ownership (TCO) rose; TCO matters."
    )
    assert expand_acronyms("Weekly active users (WAU) rose; WAU matters.") == (
        "Weekly active users rose; Weekly active users matters."
    )
    assert expand_acronyms("NB is not PR", {"nb": "Nine Bowls"}) == "Nine Bowls is not pull request"
    assert expand_acronyms("We pr the ai.") == "We pr the ai."
