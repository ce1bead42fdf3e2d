"""`podsift feed`: the shows to follow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from pipeline.cli.feed_add import add
from pipeline.cli.feed_opml import export, import_
from pipeline.cli.feed_rules import rekey, set_, tag
from pipeline.cli.shared import App, json_option, print_json, print_row, print_rows
from pipeline.feed.filters import described
from pipeline.store import feeds, polls, twins


@click.group()
def feed() -> None:
    """The shows to follow."""


for command in (add, import_, export, set_, tag, rekey):
    feed.add_command(command)


@feed.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--base-url", required=True, help="Address that relative links are resolved against.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (the only form so far).")
def parse(path: Path, base_url: str, as_json: bool) -> None:
    """Read a feed document from a file and print what Podsift understands. Needs no database."""
    from pipeline.feed.parse import feed_json
    from pipeline.feed.parse import parse as parse_feed

    print_json(feed_json(parse_feed(path.read_bytes(), base_url)))


@feed.command("list")
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
    shown = rows if as_json else [r | {"tags": ", ".join(r["tags"])} for r in rows]
    columns = ("id", "title", "state", "episodes", "tags", "twin_of", "last_ok_at", "next_poll_at", "error")
    print_rows(shown, columns, "No feeds yet. Add one: podsift feed add URL", as_json)


@feed.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(app: App, name: str, as_json: bool) -> None:
    """One feed, by id, address or title."""
    with app.database() as db, db.begin() as conn:
        row = feeds.find(conn, name)
        row["tags"] = feeds.tags_of(conn, row["id"]).get(row["id"], [])
        row["twin_of"] = twins.twins(conn).get(row["id"])
        rules = feeds.rules(conn, row["id"])
    if not as_json:
        row |= {"filters": described(rules.filters), "tags": ", ".join(row["tags"])}
        row["persons"] = ", ".join(p["name"] for p in row["persons"] or ())
    print_row(row, as_json)


@feed.command()
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
    columns = ("at", "show", "status", "bytes", "seconds", "new", "changed", "why")
    print_rows(rows, columns, "Not polled yet.", as_json)


@feed.command()
@click.argument("names", nargs=-1)
@click.pass_obj
def refresh(app: App, names: tuple[str, ...]) -> int:
    """Poll feeds now, whether due or not (all of them when none is named)."""
    from pipeline.feed.poll import poll

    with app.database() as db:
        with db.begin() as conn:
            ids = [feeds.find(conn, n)["id"] for n in names] or [
                r["id"] for r in feeds.listed(conn) if r["state"] == "active"
            ]
        results = poll(db, app.settings, app.clock, ids)
    for r in results:
        click.echo(f"feed {r.feed_id}: {r.title or ''}: {r.error or r.why}")
    bad = sum(1 for r in results if r.error)
    return 0 if not bad else 1 if bad == len(results) else 5


@feed.command()
@click.argument("name")
@click.option("--resume", is_flag=True, help="Poll it again.")
@click.pass_obj
def pause(app: App, name: str, resume: bool) -> None:
    """Stop polling a feed; its episodes stay."""
    with app.database() as db, db.begin() as conn:
        found = feeds.find(conn, name)
        state = "active" if resume else "paused"
        feeds.change(conn, found["id"], {"state": state, "next_poll_at": app.clock.now() - timedelta(seconds=1)})
        click.echo(f"feed {found['id']} is {state}")


@feed.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(app: App, name: str, yes: bool) -> None:
    """Remove a feed with its episodes and transcripts."""
    with app.database() as db:
        with db.begin() as conn:
            found = feeds.find(conn, name)
        if not yes:
            click.confirm(f"Remove {found['title'] or found['url']} and everything of it?", abort=True)
        with db.begin() as conn:
            feeds.remove(conn, found["id"])
        click.echo(f"feed {found['id']} is removed")
