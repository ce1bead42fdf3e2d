"""The preferences form: from fields to what is stored, pure; every mistake is named beside its field."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from pipeline.digest.wishes import MAX_TOPIC_LENGTH, MAX_TOPICS, checked
from pipeline.errors import UsageError
from pipeline.records import Subscriber
from pipeline.schedule import at_local, local_date
from pipeline.web.forms import Fields, one, whole

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LEAST, MOST = 3, 10
MAX_PAUSE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form asks for: values to store when `errors` (by field) is empty."""

    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def read(form: Fields, shows: Collection[int]) -> Wanted:
    """Hour, zone, days, count, topics (between commas), and what is wanted or muted of the `shows` (ids) offered."""
    errors: dict[str, str] = {}
    hour, count = whole(one(form, "hour"), 0, 23), whole(one(form, "count"), LEAST, MOST)
    zone = one(form, "zone")
    days = sorted({d for text in form.get("days", ()) if (d := whole(text, 1, 7)) is not None})
    if hour is None:
        errors["hour"] = "Choose an hour from 0 to 23."
    if count is None:
        errors["count"] = f"Choose a number from {LEAST} to {MOST}."
    if zone not in available_timezones():
        errors["zone"] = "Choose a time zone from the list, such as Europe/Berlin."
    if not days:
        errors["days"] = "Choose one day at least. To get nothing for a while, pause; to get nothing more, unsubscribe."
    wanted_shows, muted_shows = _sides(form, "show", {str(s): s for s in shows})
    topics = {name: _topics(form, name, errors) for name in ("wanted_topics", "muted_topics")}
    if shows and len(muted_shows) == len(shows):
        errors["shows"] = "With every show muted nothing would be left. Pause or unsubscribe instead."
    values = {
        "hour": hour,
        "minute": 0,
        "time_zone": zone,
        "count": count,
        "days": tuple(days),
        "wanted_shows": wanted_shows,
        "muted_shows": muted_shows,
    } | topics
    return Wanted(values if errors else checked(values), errors)


def _topics(form: Fields, name: str, errors: dict[str, str]) -> tuple[str, ...]:
    words = [w.strip() for w in one(form, name).split(",") if w.strip()]
    try:
        return tuple(checked({name: words})[name])
    except UsageError:
        errors[name] = f"At most {MAX_TOPICS} topics, each of at most {MAX_TOPIC_LENGTH} letters, with commas between."
        return ()


def _sides(form: Fields, kind: str, offered: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Wanted and muted ones. `KIND:name` is a field of its own for each thing that the page offered."""
    said = {name: one(form, f"{kind}:{name}") for name in offered}
    return (
        tuple(offered[n] for n, side in said.items() if side == "more"),
        tuple(offered[n] for n, side in said.items() if side == "mute"),
    )


def pause_end(text: str, who: Subscriber, now: datetime) -> datetime | str:
    """The instant a pause ends (the digest's hour on that local day), or what is wrong with the date."""
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        day = None
    today = local_date(now, who.time_zone)
    if day is None:
        return "Give a date, for example " + (today + timedelta(days=7)).isoformat() + "."
    if not today < day <= today + MAX_PAUSE:
        return "Give a date from tomorrow on, within a year."
    return at_local(day, who.hour, 0, who.time_zone)
