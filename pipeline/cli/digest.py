"""`podsift digest`: preview, build, send and read digests."""

from __future__ import annotations

import webbrowser
from dataclasses import asdict

import click

from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.digest.compose import build as build_digest
from pipeline.digest.compose import compose
from pipeline.digest.work import sole_sender
from pipeline.email.smtp import send_due
from pipeline.engine.lock import hold
from pipeline.errors import UsageError
from pipeline.insight.relate import same_reason
from pipeline.store import digests, insights
from pipeline.store import outbox as mails


@click.group()
def digest() -> None:
    """Preview, build, send and read digests."""


@digest.command()
@click.option("--to", "email", help="Whose digest (default: the first subscriber's).")
@click.option("--open", "open_", is_flag=True, help="Open it in the browser.")
@click.option("--html", is_flag=True, help="Print the HTML instead of the text.")
@json_option
@click.pass_obj
def preview(app: App, email: str | None, open_: bool, html: bool, as_json: bool) -> None:
    """What a subscriber would get now. Changes nothing."""
    with app.database() as db, db.begin() as conn:
        people = [digests.find_subscriber(conn, email)] if email else digests.subscribers(conn)
        if not people:
            raise UsageError("There is nobody to show a digest for", hint="podsift subscriber add you@example.org")
        made = compose(conn, people[0], app.settings, same_reason, app.clock.now())
    if as_json:
        print_json(asdict(made.issue))
    elif open_:
        path = app.settings.data_dir / "preview.html"
        path.write_text(made.rendered.html, "utf-8")
        click.echo(str(path))
        webbrowser.open(path.absolute().as_uri())
    else:
        click.echo(made.rendered.html if html else made.rendered.text)


@digest.command()
@click.option("--now", "all_", is_flag=True, help="For everybody, whether their hour has come or not.")
@click.pass_obj
def build(app: App, all_: bool) -> None:
    """Freeze the digests that are due and queue their mails."""
    with app.database() as db, hold(app.settings), sole_sender(db):
        with db.begin() as conn:
            people = digests.subscribers(conn) if all_ else digests.due(conn, app.clock.now())
        for who in people:
            with db.begin() as conn:
                made = build_digest(conn, who, app.settings, same_reason, app.clock.now())
            click.echo(f"{who.email}: " + (f"digest {made}" if made else "nothing new to send, or sent today already"))
        if not people:
            click.echo("No digest is due. `--now` builds them anyway.")


@digest.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.pass_obj
def send(app: App, dry_run: bool) -> int:
    """Send the mails that wait."""
    with app.database() as db:
        if dry_run:
            with db.begin() as conn:
                rows = [r for s in ("queued", "deferred") for r in mails.listed(conn, s)]
            print_rows(rows, ("id", "recipient", "state", "next_at"), "No mail waits.", False)
            return 0
        if app.settings.smtp.host is None:
            raise UsageError("No mail server is set", hint="set smtp.host in podsift.toml or PODSIFT_SMTP_HOST")
        with hold(app.settings), sole_sender(db):
            r = send_due(db, app.settings, app.clock)
    click.echo(f"sent {r.sent}, deferred {r.deferred}, failed {r.failed}, uncertain {r.uncertain}")
    return 5 if r.failed or r.uncertain else 0


@digest.command("list")
@json_option
@click.pass_obj
def list_(app: App, as_json: bool) -> None:
    """Digests, newest first."""
    with app.database() as db, db.begin() as conn:
        rows = digests.listed(conn)
    print_rows(rows, ("id", "local_date", "email", "subject", "state"), "No digest yet.", as_json)


@digest.command()
@click.argument("digest_id", type=int)
@click.option("--html", is_flag=True, help="Print the HTML instead of the text.")
@json_option
@click.pass_obj
def show(app: App, digest_id: int, html: bool, as_json: bool) -> None:
    """A digest as it was frozen."""
    with app.database() as db, db.begin() as conn:
        row = digests.get(conn, digest_id)
        if as_json:
            print_json(row | {"insights": [asdict(i) for i in insights.of_digest(conn, digest_id)]})
            return
    click.echo(row["html"] if html else row["text"])
