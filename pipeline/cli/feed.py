"""`podsift feed`: the shows to follow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from pipeline.cli.shared import App, json_option, print_json, print_row, print_rows
from pipeline.errors import UsageError
from pipeline.store import feeds


@click.group()
def feed() -> None:
    """The shows to follow."""


@feed.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--base-url", required=True, help="Address that relative links are resolved against.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (the only form so far).")
def parse(path: Path, base_url: str, as_json: bool) -> None:
    """Read a feed document from a file and print what Podsift understands. Needs no database."""
    from pipeline.feed.parse import feed_json
    from pipeline.feed.parse import parse as parse_feed

    print_json(feed_json(parse_feed(path.read_bytes(), base_url)))


@feed.command()
@click.argument("urls", nargs=-1, required=True)
@click.pass_obj
def add(app: App, urls: tuple[str, ...]) -> int:
    """Follow shows by their feed address. Each is polled at once; nothing is kept of one that cannot be read."""
    from pipeline.feed.poll import poll

    failed = 0
    with app.database() as db:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise UsageError(f"{url!r} is not a feed address", hint="give it as https://...")
            with db.begin() as conn:
                feed_id, new = feeds.add(conn, url, app.clock.now())
            if not new:
                click.echo(f"{url} is followed already (feed {feed_id})")
                continue
            (result,) = poll(db, app.settings, app.clock, [feed_id])
            if result.error:
                failed += 1
                with db.begin() as conn:
                    feeds.remove(conn, feed_id)
                click.echo(f"not added: {url}\n  why: {result.error}", err=True)
            else:
                click.echo(f"feed {feed_id}: {result.title}: {result.why}")
    return 0 if not failed else 1 if failed == len(urls) else 5


@feed.command("list")
@json_option
@click.pass_obj
def list_(app: App, as_json: bool) -> None:
    """Every feed with its state."""
    with app.database() as db, db.begin() as conn:
        rows = feeds.listed(conn)
    columns = ("id", "title", "state", "episodes", "last_ok_at", "next_poll_at", "error")
    print_rows(rows, columns, "No feeds yet. Add one: podsift feed add URL", as_json)


@feed.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(app: App, name: str, as_json: bool) -> None:
    """One feed, by id, address or title."""
    with app.database() as db, db.begin() as conn:
        print_row(feeds.find(conn, name), as_json)


@feed.command()
@click.argument("name")
@json_option
@click.pass_obj
def log(app: App, name: str, as_json: bool) -> None:
    """The last polls of a feed."""
    with app.database() as db, db.begin() as conn:
        rows = feeds.polls(conn, feeds.find(conn, name)["id"])
    print_rows(rows, ("at", "status", "bytes", "seconds", "new", "changed", "why"), "Not polled yet.", as_json)


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
