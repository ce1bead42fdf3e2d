"""`podsift feed`: the shows to follow."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import click

from pipeline.cli.feed_add import add
from pipeline.cli.feed_opml import export, import_
from pipeline.cli.feed_rules import rekey, set_, tag
from pipeline.cli.feed_show import list_, log, show
from pipeline.cli.shared import App, print_json
from pipeline.store import feeds


@click.group()
def feed() -> None:
    """The shows to follow."""


for command in (add, import_, export, set_, tag, rekey, list_, show, log):
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
        results = poll(db, app.settings, app.clock, ids, progress=_count if sys.stderr.isatty() else None)
    for r in results:
        click.echo(f"feed {r.feed_id}: {r.title or ''}: {r.error or r.why}")
    bad = sum(1 for r in results if r.error)
    return 0 if not bad else 1 if bad == len(results) else 5


def _count(done: int, of: int) -> None:
    click.echo(f"\r{done} of {of} polled" + ("\n" if done == of else ""), err=True, nl=False)


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
