"""Include and exclude rules, and expressions that mean harm."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from pipeline.errors import UsageError
from pipeline.feed.filters import Filters, check, described, from_json, to_json, why_not
from tests.conftest import NOW
from tests.fakes.rows import parsed_episode

E = replace(parsed_episode(1, NOW), title="Bonus: Straße nach Süden", duration_s=1800.0)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (Filters(), None),
        (Filters(include=("STRASSE",)), None),
        (Filters(include=("/^bonus\\b/",)), None),
        (Filters(include=("nord", "/\\bsüden$/")), None),
        (Filters(include=("nord",)), "no include rule"),
        (Filters(exclude=("bonus",)), "exclude rule 'bonus'"),
        (Filters(exclude=("/BONUS.*S.den/",)), "exclude rule"),
        (Filters(include=("bonus",), exclude=("bonus",)), "exclude rule"),
        (Filters(min_minutes=30, max_minutes=30), None),
        (Filters(min_minutes=31), "30 minutes, shorter than 31"),
        (Filters(max_minutes=29.5), "30 minutes, longer than 29.5"),
    ],
)
def test_rules(filters: Filters, said: str | None) -> None:
    found = why_not(E, check(filters))
    assert found is None if said is None else said in (found or "")


def test_what_the_feed_does_not_say_is_not_held_against_it() -> None:
    silent = replace(E, title=None, duration_s=None, explicit=None)
    assert why_not(silent, Filters(exclude=("x",), min_minutes=5, max_minutes=9, explicit="only")) is None
    assert why_not(silent, Filters(explicit="skip")) is None
    assert why_not(replace(E, explicit=True), Filters(explicit="skip")) == "marked explicit"
    assert why_not(replace(E, explicit=False), Filters(explicit="only")) == "not marked explicit"


@pytest.mark.parametrize(
    "expression",
    ["(a+)+$", "(a|aa)+$", "(.*a){25}$", "(a|a?)+b", ".*.*.*.*.*.*x", "(\\w+\\s?)*$", "\\p{L}*\\p{L}*\\p{L}*9"],
)
def test_catastrophic_expressions_are_fast(expression: str) -> None:
    filters = check(Filters(exclude=(f"/{expression}/",)))
    began = time.process_time()
    for k in range(50):
        why_not(replace(E, title="a" * 20_000 + f"!{k}"), filters)
    assert time.process_time() - began < 1  # 0.02 s here; a backtracking engine takes years for the first


@pytest.mark.parametrize(
    "rule",
    ["/((a{1000}){1000}){1000}/", "/[/", "/(?=a)/", "/(a)\\1/", "/(?<=a+)b/", "/" + "(" * 99 + "/", "", " ", "x" * 201],
)
def test_rules_that_are_refused(rule: str) -> None:
    with pytest.raises(UsageError) as e:
        check(Filters(include=(rule,)))
    assert "b'" not in str(e.value)


def test_limits_that_are_refused() -> None:
    for bad in (
        Filters(min_minutes=10, max_minutes=5),
        Filters(min_minutes=-1),
        Filters(max_minutes=float("nan")),
        Filters(explicit="perhaps"),
        Filters(include=("a",) * 51),
    ):
        with pytest.raises(UsageError):
            check(bad)


def test_a_lone_surrogate_breaks_nothing() -> None:
    assert why_not(replace(E, title="a\ud800b"), check(Filters(include=("/b/",)))) is None


def test_into_the_row_and_back() -> None:
    for filters in (Filters(), Filters(("a",), ("/b/", "c"), 1.5, 90.0, "skip")):
        assert from_json(to_json(filters)) == filters
    assert to_json(Filters()) is None and not described(Filters()) and not Filters()
    assert described(Filters(("a", "b"), max_minutes=90)) == "include 'a' or 'b', at most 90 min"
