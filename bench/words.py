"""Recognised words against what was said: errors, and which word of one is which of the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SPELT = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
    "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20", "thirty": "30",
    "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "%": "percent", "ok": "okay", "mr": "mister", "dr": "doctor",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compared:
    """Substitutions, insertions and deletions together; words said; for each word said the index of its match."""

    errors: int
    said: int
    match: tuple[int | None, ...]
    """Of equal words only."""


def tokens(text: str) -> list[str]:
    """Words in a common spelling: no case, no punctuation, digits for number words, `40,000` as one."""
    plain = re.sub(r"(?<=\d),(?=\d)", "", text.casefold().replace("’", "'"))
    found = re.findall(r"[^\W_]+(?:'[^\W_]+)?|%", plain)
    return [_SPELT.get(word, word) for word in found]


def compare(said: Sequence[str], heard: Sequence[str]) -> Compared:
    """Levenshtein's distance over words, and one best alignment."""
    rows, columns = len(said), len(heard)
    codes: dict[str, int] = {}
    a = np.array([codes.setdefault(w, len(codes)) for w in said], np.int64)
    b = np.array([codes.setdefault(w, len(codes)) for w in heard], np.int64)
    cost = np.zeros((rows + 1, columns + 1), np.int32)
    cost[0] = np.arange(columns + 1)
    steps = np.arange(columns + 1)
    for n in range(1, rows + 1):
        best = np.empty(columns + 1, np.int32)
        best[0] = n
        best[1:] = np.minimum(cost[n - 1, :-1] + (b != a[n - 1]), cost[n - 1, 1:] + 1)
        # An insertion costs one a column: the running minimum of what each column costs before them.
        cost[n] = np.minimum.accumulate(best - steps) + steps
    match: list[int | None] = [None] * rows
    n, m = rows, columns
    while n and m:
        if a[n - 1] == b[m - 1] and cost[n, m] == cost[n - 1, m - 1]:
            match[n - 1] = m - 1
            n, m = n - 1, m - 1
        elif cost[n, m] == cost[n - 1, m - 1] + 1:
            n, m = n - 1, m - 1
        elif cost[n, m] == cost[n - 1, m] + 1:
            n -= 1
        else:
            m -= 1
    return Compared(int(cost[rows, columns]), rows, tuple(match))
