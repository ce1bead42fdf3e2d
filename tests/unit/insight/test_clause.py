from __future__ import annotations

import pytest

from pipeline.insight.clause import left_open, main_verb


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        ("storage is cheap", "is"),
        ("these artifacts that would give away a deepfake", None),
        ("the people who are building databases want storage", "want"),
        ("having your data local to your database is important", "is"),
        ("having worked in brain injury", None),
        ("what we need is time", "is"),
        ("the break we used to get", None),
        ("a lot of work in the open", None),
        ("you need to ship less", "need"),
    ],
)
def test_the_main_verb(words: str, verb: str | None) -> None:
    plain = words.split()
    found = main_verb(plain)
    assert (None if found is None else plain[found]) == verb


@pytest.mark.parametrize(
    ("words", "is_open"),
    [
        ("we developed twenty years of best practices that people", True),
        ("the moral of the story is if", True),
        ("queues grow unless somebody watches the oldest job", False),
        ("a long queue is cheap", False),
    ],
)
def test_a_clause_without_its_verb_is_left_open(words: str, is_open: bool) -> None:
    assert left_open(words.split()) == is_open
