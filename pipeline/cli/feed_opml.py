"""`podsift feed import` and `feed export`: lists of feeds as OPML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from pipeline.cli.shared import App, json_option, print_json
from pipeline.errors import PodsiftError, UsageError
from pipeline.feed import private
from pipeline.feed.opml import MAX_BYTES, OpmlFeed, read_opml, web_address, write_opml
from pipeline.store import feeds


@click.command("import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be added, and change nothing.")
@json_option
@click.pass_obj
def import_(app: App, path: Path, dry_run: bool, as_json: bool) -> int:
    """Follow the feeds of an OPML file; its folders and categories become tags.

    The feeds are polled when they next fall due (podsift run, podsift up). Exit code 5 when some could not be added.
    """
    with path.open("rb") as f:
        listed = read_opml(f.read(MAX_BYTES + 1))
    told: dict[str, list[dict[str, Any]]] = {"added": [], "known": [], "repeated": [], "refused": []}
    with app.database() as db, db.begin() as conn:
        known = _known(app, conn)
        seen: set[str] = set()
        for one in listed:
            kind, row = _take(app, conn, one, known, seen, dry_run)
            told[kind].append(row)
    if as_json:
        print_json(told | {"dry_run": dry_run})
    else:
        _say(told, dry_run)
    if not told["refused"]:
        return 0
    return 5 if told["added"] or told["known"] else 1


def _take(
    app: App, conn: Connection, one: OpmlFeed, known: dict[str, int], seen: set[str], dry_run: bool
) -> tuple[str, dict[str, Any]]:
    row: dict[str, Any] = {"url": private.masked(one.url), "title": one.title, "tags": list(one.tags)}
    if not web_address(one.url):
        return "refused", row | {"why": "not an http(s) address"}
    key = same(private.split(one.url)[0])
    if key in seen:
        return "repeated", row
    seen.add(key)
    if key in known:
        if not dry_run:
            feeds.tag(conn, known[key], one.tags)
        return "known", row | {"id": known[key]}
    shown, secret = private.take_apart(one.url)
    try:
        sealed = private.seal(secret, app.settings) if secret else None
    except PodsiftError as e:
        return "refused", row | {"url": shown, "why": f"it is private: {e}"}
    if not dry_run:
        feed_id, _ = feeds.add(conn, shown, app.clock.now())
        feeds.change(conn, feed_id, {"title": one.title, "credentials": sealed})
        feeds.tag(conn, feed_id, one.tags)
        row["id"] = feed_id
    return "added", row | {"url": shown}


def _known(app: App, conn: Connection) -> dict[str, int]:
    """The real addresses of all feeds, private ones too where their key is there."""
    found = {same(url): i for i, url in feeds.addresses(conn).items()}
    for i, sealed in feeds.sealed(conn).items():
        try:
            url = private.unseal(sealed, app.settings).url
        except PodsiftError:
            continue
        found |= {same(url): i} if url else {}
    return found


def same(url: str) -> str:
    """Addresses that differ in http or https, in case of the host or in a last slash are one feed's."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{host.lower()}{slash}{path}".rstrip("/") if scheme.lower() in ("http", "https") else url


def _say(told: dict[str, list[dict[str, Any]]], dry_run: bool) -> None:
    for row in told["added"]:
        names = f" [{', '.join(row['tags'])}]" if row["tags"] else ""
        click.echo(f"{'would add' if dry_run else 'added'} {row['title'] or row['url']}{names}")
    for row in told["known"]:
        click.echo(f"followed already: {row['title'] or row['url']} (feed {row['id']})")
    for row in told["repeated"]:
        click.echo(f"twice in the file: {row['title'] or row['url']}")
    for row in told["refused"]:
        click.echo(f"not added: {row['url']}\n  why: {row['why']}", err=True)
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in told.items())
    click.echo(counts + ("; nothing was changed" if dry_run else "; podsift run polls them"))


@click.command()
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write there, else print.")
@click.option("--tag", "tag_name", help="Only feeds with this tag.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def export(app: App, output: Path | None, tag_name: str | None, force: bool) -> None:
    """Print all feeds as OPML. An address that is itself a secret is left out; user and password never leave."""
    with app.database() as db, db.begin() as conn:
        rows = feeds.listed(conn, tag_name)
        hidden = {i for i, s in feeds.sealed(conn).items() if private.is_secret_address(s, app.settings)}
    wanted = [OpmlFeed(r["url"], r["title"], tuple(r["tags"])) for r in rows if r["id"] not in hidden]
    text = write_opml(wanted)
    for r in rows:
        if r["id"] in hidden:
            click.echo(f"left out: feed {r['id']} {r['title'] or ''}: its address is a secret", err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists() and not force:
        raise UsageError(f"{output} exists already", hint="--force replaces it")
    output.write_text(text, "utf-8")
    click.echo(f"wrote {len(wanted)} feeds to {output}")
