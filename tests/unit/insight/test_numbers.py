from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.insight.numbers import numbers


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("forty thousand labels", ["40000"]),
        ("40,000 labels at 4 milliseconds", ["40000", "4"]),
        ("twenty-five percent", ["25"]),
        ("one hundred and five", ["105"]),
        ("a hundred", ["100"]),
        ("three million two hundred thousand", ["3200000"]),
        ("$5 million", ["5000000"]),
        ("2.5 million", ["2500000"]),
        ("40k users", ["40000"]),
        ("half of them, a dozen times", ["0.5", "12"]),
        ("nine o'clock", ["9"]),
        ("nothing here, nobody", []),
        ("", []),
        ("9" * 500, []),
    ],
)
def test_reads(text: str, values: list[str]) -> None:
    assert numbers(text) == {Decimal(v) for v in values}


def test_spoken_years_are_read_as_pair_and_as_year() -> None:
    assert Decimal(2024) in numbers("twenty twenty-four")
    assert Decimal(1999) in numbers("in nineteen ninety nine")


def test_the_bare_word_one_is_no_number() -> None:
    assert numbers("one of them is the one") == frozenset()
    assert numbers("one hundred") == {Decimal(100)}
    assert numbers("only 1") == {Decimal(1)}
