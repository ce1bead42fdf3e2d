"""Reads the numbers in a text, in digits or words, so that "forty thousand" equals "40,000"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

_UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SUFFIXES = {"k": 10**3, "m": 10**6, "bn": 10**9, "b": 10**9}
_WHOLE = {"dozen": Decimal(12), "half": Decimal("0.5"), "twice": Decimal(2), "double": Decimal(2), "triple": Decimal(3)}
_TOKEN = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[a-z]+")
_MAX_DIGITS = 20
"""A longer run of digits is no number that anybody says."""


def numbers(text: str) -> frozenset[Decimal]:
    """Every number that `text` states. The bare word "one" is a pronoun more often than a number and is left out."""
    tokens = _TOKEN.findall(text.lower())
    return frozenset(_all(tokens))


def _all(tokens: list[str]) -> Iterator[Decimal]:
    at, before = 0, (Decimal(-1), -1)
    while at < len(tokens):
        value, end = _number(tokens, at)
        if value is None:
            at += 1
            continue
        if tokens[at:end] != ["one"]:
            yield value
        # Spoken years: "twenty twenty-four", "nineteen ninety nine".
        if before[1] == at and 10 <= before[0] <= 99 and 10 <= value <= 99 and tokens[at].isalpha():
            yield before[0] * 100 + value
        before, at = (value, end), end


def _number(tokens: list[str], at: int) -> tuple[Decimal | None, int]:
    """The number that begins at `at` and where it ends; None when there is none."""
    if tokens[at] in _WHOLE:
        return _WHOLE[tokens[at]], at + 1
    total, limit, end = Decimal(0), 10**15, at
    while True:
        value, stop = _below_thousand(tokens, end + (end > at and _at(tokens, end) == "and"))
        scale = _SCALES.get(_at(tokens, stop)) if value is not None else None
        if value is None or (scale or 1) >= limit or (end > at and value >= 1000):
            break
        total, end = total + value * (scale or 1), stop + (scale is not None)
        if scale is None:
            break
        limit = scale
    return (total, end) if end > at else (None, at)


def _below_thousand(tokens: list[str], at: int) -> tuple[Decimal | None, int]:
    """Digits, or words up to nine hundred ninety-nine; "a" counts as one before a scale."""
    first = _at(tokens, at)
    following = _at(tokens, at + 1)
    if first[:1].isdigit():
        if len(first) > _MAX_DIGITS:
            return None, at
        value = Decimal(first.replace(",", ""))
        return (value * _SUFFIXES[following], at + 2) if following in _SUFFIXES else (value, at + 1)
    if first == "a" and (following == "hundred" or following in _SCALES):
        small, end = Decimal(1), at + 1
    else:
        spoken, end = _below_hundred(tokens, at)
        if spoken is None:
            return None, at
        small = spoken
    if _at(tokens, end) != "hundred":
        return small, end
    rest, stop = _below_hundred(tokens, end + 1 + (_at(tokens, end + 1) == "and"))
    return (small * 100 + rest, stop) if rest is not None else (small * 100, end + 1)


def _below_hundred(tokens: list[str], at: int) -> tuple[Decimal | None, int]:
    first, following = _at(tokens, at), _at(tokens, at + 1)
    if first in _TENS:
        if 0 < _UNITS.get(following, 0) < 10:
            return Decimal(_TENS[first] + _UNITS[following]), at + 2
        return Decimal(_TENS[first]), at + 1
    return (Decimal(_UNITS[first]), at + 1) if first in _UNITS else (None, at)


def _at(tokens: list[str], index: int) -> str:
    return tokens[index] if index < len(tokens) else ""


_BARE = re.compile(
    r"(?<![\w.,$€£#:'’-])(?!(?:1[89]|20)\d\d\b)\d{1,3}(?:,\d{3})*[,;]? "
    r"(?:for|in|on|at|and|but|so|when|if|of them|was|were|is|are)\b"
)


def bare_number(text: str) -> bool:
    """Whether a number counts what is named elsewhere: "we removed 20, for 90 days". Years stand alone."""
    return _BARE.search(text) is not None
