"""Lists of addresses from a CSV file: read within bounds, each line on its own."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pipeline.digest.wishes import checked, parse_days
from pipeline.email import optin, suppress
from pipeline.email.addresses import check
from pipeline.errors import NotFoundError, UsageError
from pipeline.settings import Settings
from pipeline.store import subscribers

MAX_BYTES, MAX_LINES, MAX_FIELD = 50_000_000, 200_000, 2_000
COLUMNS = ("email", "time_zone", "hour", "minute", "count", "days", "wanted_topics", "muted_topics")
RESULTS = {
    "added": "gets the digest from now on",
    "asked": "gets a confirm mail",
    "known": "gets the digest already",
    "left": "unsubscribed earlier, and stays away",
    "suppressed": "is on the suppression list",
    "again": "was asked a short while ago",
    "wrong": "this line cannot be used",
}
"""What becomes of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: its number, its fields, or why it cannot be read."""

    number: int
    fields: dict[str, str]
    wrong: str | None = None


def read_csv(path: Path) -> list[Line]:
    """The lines below the heading. Raises UsageError when the file is no list of addresses."""
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path} is too large", why=f"{MAX_BYTES // 1_000_000} MB are read", hint="split it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as f:
            return list(_lines(f.readlines()))
    except UnicodeDecodeError as e:
        raise UsageError(f"{path} is not UTF-8", hint="save it as CSV in UTF-8") from e


def _lines(text: Sequence[str]) -> Iterator[Line]:
    if not text:
        raise UsageError("The file is empty", hint="its first line names the columns, such as email,hour")
    separator = max(",;\t", key=text[0].count)
    names = [n.strip().strip('"').lower() for n in text[0].strip().split(separator)]
    unknown = [n for n in names if n not in COLUMNS]
    if "email" not in names or unknown:
        raise UsageError(
            "The first line does not name the columns",
            why=f"unknown: {', '.join(unknown)[:200]}" if unknown else "there is none named email",
            hint=f"columns are {', '.join(COLUMNS)}",
        )
    if len(text) > MAX_LINES:
        raise UsageError(f"The file has more than {MAX_LINES} lines", hint="split it")
    # Line by line: a quote that is not closed spoils its own line, not the rest of the file.
    for number, line in enumerate(text[1:], 2):
        if not line.strip():
            continue
        try:
            values = next(csv.reader([line], delimiter=separator, strict=True))
        except (csv.Error, StopIteration) as e:
            yield Line(number, {}, f"not CSV: {e}")
            continue
        if len(values) > len(names) or any(len(v) > MAX_FIELD for v in values):
            yield Line(number, {}, "more fields than columns, or one that is too long")
            continue
        yield Line(number, {n: v.strip() for n, v in zip(names, values, strict=False) if v.strip()})


def wishes(fields: dict[str, str]) -> dict[str, Any]:
    """The preferences of a line, checked. Raises UsageError."""
    found: dict[str, Any] = {k: fields[k] for k in ("time_zone", "hour", "minute", "count") if k in fields}
    if "days" in fields:
        found["days"] = parse_days(fields["days"].replace(";", ","))
    for name in ("wanted_topics", "muted_topics"):
        if name in fields:
            found[name] = fields[name].split(";")
    return checked(found)


def imported(
    conn: Connection, settings: Settings, lines: Sequence[Line], now: datetime, *, confirmed: bool
) -> list[dict[str, Any]]:
    """Add or ask each line's address. Returns line, email, result (RESULTS) and why, one a line.

    Raises ConfigError when confirm mails cannot be made.
    """
    done = []
    for line in lines:
        row = {"line": line.number, "email": line.fields.get("email", ""), "result": "wrong", "why": line.wrong}
        if line.wrong is None:
            try:
                row["result"] = _one(conn, settings, line.fields, now, confirmed)
            except UsageError as e:
                row["why"] = e.message
        done.append(row)
    return done


def _one(conn: Connection, settings: Settings, fields: dict[str, str], now: datetime, confirmed: bool) -> str:
    email, wanted = check(fields.get("email", "")), wishes(fields)
    try:
        state = subscribers.find(conn, email).state
    except NotFoundError:
        state = None
    if state in ("active", "paused"):
        return "known"
    if state == "removed":
        return "left"
    if not confirmed:
        return optin.ask(conn, settings, email, now, {"how": "import"}, wishes=wanted, by_person=False)
    if suppress.why(conn, settings, email):
        return "suppressed"
    optin.add_confirmed(conn, settings, email, now, {"how": "import, the operator vouches"}, wanted)
    return "added"
