"""Words that a quotation can begin behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.insight.opening import begun, opening, replies


@pytest.mark.parametrize(
    ("left_out", "rest"),
    [
        ("And so, you know, ", "nobody on the team reads the manual."),
        ("So ", "the phone goes onto a table in the kitchen."),
        ("But ", "one of the hardest challenges is that you cannot see it."),
        ("Yeah, so ", "a cache that nobody can empty is a database."),
        ("Well, I mean... ", "we kept on building it in the evenings."),
        ("And yeah, like, ", "engineers are very good at coming up with excuses."),
        ("So again - ", "the short name costs nothing to anybody."),
        ("Now, ", "there are structural advantages to that."),
    ],
)
def test_what_only_joins_or_wins_time_is_left_out(left_out: str, rest: str) -> None:
    assert opening(left_out + rest) == len(left_out)


@pytest.mark.parametrize(
    "sentence",
    [
        "Open source maintainers are very often alone.",
        "No, the cache was never the problem in the first place.",
        "Because nobody reads the manual, the manual is wrong.",
        "Or you write the test before you write the code.",
        "So many people have tried this and all of them failed.",
        "So far nobody has found a better way to do it.",
        "So-called experts have tried this for years without any luck.",
        "But for the tests we would never have noticed it.",
        "And then the whole cluster went down for an hour.",
        "Like a cache that nobody empties, the mind gets full.",
        "Well-kept tests are worth more than code that works.",
        "Now is the time to write down what you learned.",
        "Right angles are what the whole proof is about.",
        "Sobriety in design is what I would ask for first.",
        "Andrew wrote the first version in a single night.",
        "And so it goes.",
        "",
    ],
)
def test_what_belongs_to_the_sentence_stays(sentence: str) -> None:
    assert opening(sentence) == 0


def test_an_opening_that_answers_is_told_from_one_that_joins() -> None:
    assert replies("Yeah, so ")
    assert replies("But yeah, ")
    assert not replies("And so, you know, ")


def test_the_rest_begins_with_a_capital_but_for_names_that_do_not() -> None:
    assert begun("nobody reads it.") == "Nobody reads it."
    assert begun("iPhones are heavy.") == "iPhones are heavy."
    assert begun("80% do.") == "80% do."
    assert begun("") == ""


@given(st.text(alphabet="andbutsowelyh ,.-…“\n", max_size=80))
def test_five_words_are_left_whatever_is_said(sentence: str) -> None:
    at = opening(sentence)
    assert at == 0 or len(sentence[at:].split()) >= 5
