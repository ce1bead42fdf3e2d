"""`podsift feed list`, `show` and `log`: what is followed, how it fares, and what its polls found."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import click

from pipeline.cli.feed_rules import described_rules
from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.store import episodes, feeds, polls, twins

ALWAYS = ("id", "title", "state", "episodes", "last ok", "next poll")
SHOWN_POLLS = 5


@click.command("list")
@click.option("--tag", "tag_name", help="Only feeds with this tag.")
@json_option
@click.pass_obj
def list_(app: App, tag_name: str | None, as_json: bool) -> None:
    """Every feed with its state; `twin of` names the first feed of the same show."""
    with app.database() as db, db.begin() as conn:
        rows = feeds.listed(conn, tag_name.strip().lower() if tag_name else None)
        same = twins.twins(conn) if len(rows) > 1 or tag_name else {}
    for row in rows:
        row["twin_of"] = same.get(row["id"])
    if as_json:
        print_json(rows)
        return
    now = app.clock.now()
    shown = [
        row
        | {
            "title": row["title"] or row["url"],
            "tags": ", ".join(row["tags"]),
            "last ok": away(row["last_ok_at"], now) or "never",
            "next poll": away(row["next_poll_at"], now) if row["state"] == "active" else "",
        }
        for row in rows
    ]
    columns = [*ALWAYS, *(c for c in ("tags", "twin_of", "error") if any(row[c] for row in shown))]
    print_rows(shown, columns, "No feeds yet. Add one: podsift feed add URL", as_json)


@click.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(app: App, name: str, as_json: bool) -> None:
    """One feed, by id, address or title: its rules, its episodes, its last polls."""
    with app.database() as db, db.begin() as conn:
        row = feeds.find(conn, name)
        row["tags"] = feeds.tags_of(conn, row["id"]).get(row["id"], [])
        row["twin_of"] = twins.twins(conn).get(row["id"])
        rules = feeds.rules(conn, row["id"])
        stages = Counter(episodes.counts(conn, row["id"]))
        last = polls.recent(conn, row["id"], SHOWN_POLLS)
    if as_json:
        print_json(row | {"stages": stages})
        return
    click.echo(f"{row['title'] or row['url']} (feed {row['id']}, {row['state']})")
    for key, value in _facts(row, described_rules(rules), stages, app.clock.now()):
        if value:
            click.echo(f"  {key:9} {value}")
    if last:
        click.echo("  last polls")
    for p in last:
        found = ", ".join(f"{p[k]} {k}" for k in ("new", "changed") if p[k])
        click.echo(f"    {p['at']:%Y-%m-%d %H:%M}  {p['status'] or '---'}  {p['why']}{': ' + found if found else ''}")


def _facts(row: dict[str, Any], rules: str, stages: Counter[str], now: datetime) -> list[tuple[str, str | None]]:
    polled = f"{away(row['last_poll_at'], now)}" if row["last_poll_at"] else "not yet"
    if row["state"] == "active":
        polled += f", next {away(row['next_poll_at'], now) or 'now'}"
    error = row["error"] and f"{row['error']} ({row['error_count']} in a row, last good {away(row['last_ok_at'], now)})"
    moves = row["moved_url"] and f"to {row['moved_url']}, seen there since {row['moved_since']:%Y-%m-%d}"
    return [
        ("address", row["url"] + (" (private)" if row["private"] else "")),
        ("site", row["link"]),
        ("language", row["language"]),
        ("hosts", ", ".join(p["name"] for p in row["persons"] or ())),
        ("tags", ", ".join(row["tags"])),
        ("rules", rules),
        ("episodes", f"{stages.total()}" + "".join(f", {n} {stage}" for stage, n in stages.most_common())),
        ("polled", polled),
        ("twin of", f"feed {row['twin_of']}" if row["twin_of"] else None),
        ("announces", row["new_feed_url"]),
        ("moves", moves),
        ("error", error),
    ]


@click.command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many polls.")
@json_option
@click.pass_obj
def log(app: App, name: str | None, limit: int, as_json: bool) -> None:
    """The last polls, of one feed or of all."""
    with app.database() as db, db.begin() as conn:
        rows = polls.recent(conn, feeds.find(conn, name)["id"] if name else None, limit)
    for row in rows:
        row["seconds"] = None if row["seconds"] is None else round(row["seconds"], 3)
    columns = ["at", "show", "status", "bytes", "seconds", "new", "changed", "why"]
    print_rows(rows, [c for c in columns if c != "show" or not name], "Not polled yet.", as_json)


def away(at: datetime | None, now: datetime) -> str | None:
    """How far a time is from now, in words: `3 h ago`, `in 2 days`."""
    if at is None:
        return None
    seconds = abs((at - now).total_seconds())
    if seconds < 60:
        return "now"
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * length:
            amount = f"{seconds / length:.0f} {unit}"
            return f"{amount} ago" if at < now else f"in {amount}"
    raise AssertionError("unreachable")
