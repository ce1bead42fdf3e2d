"""`podsift digest`: preview, build, send and read digests."""

from __future__ import annotations

import webbrowser
from dataclasses import asdict
from datetime import datetime

import click
from sqlalchemy import Connection

from pipeline.channel.deliver import deliver_due
from pipeline.cli.digest_export import export
from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.digest.compose import build as build_digest
from pipeline.digest.compose import compose
from pipeline.digest.explain import explanation, overlap
from pipeline.digest.replay import parse_weights
from pipeline.digest.replay import replay as replay_day
from pipeline.digest.work import sole_sender
from pipeline.email.delivery import send_due
from pipeline.engine.lock import hold
from pipeline.errors import UsageError
from pipeline.insight.relate import same_reason
from pipeline.records import Subscriber
from pipeline.store import channels, digests, insights, subscribers
from pipeline.store import outbox as mails


@click.group()
def digest() -> None:
    """Preview, build, send and read digests."""


digest.add_command(export)


@digest.command()
@click.option("--to", "email", help="Whose digest (default: the first subscriber's).")
@click.option("--open", "open_", is_flag=True, help="Open it in the browser.")
@click.option("--html", is_flag=True, help="Print the HTML instead of the text.")
@json_option
@click.pass_obj
def preview(app: App, email: str | None, open_: bool, html: bool, as_json: bool) -> None:
    """What a subscriber would get now. Changes nothing."""
    with app.database() as db, db.begin() as conn:
        made = compose(conn, _reader(conn, email), app.settings, same_reason, app.clock.now())
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
            people = subscribers.listed(conn) if all_ else subscribers.due(conn, app.clock.now())
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
    """Send the mails that wait, and post what waits for channels."""
    with app.database() as db:
        if dry_run:
            with db.begin() as conn:
                rows = [r for s in ("queued", "deferred") for r in mails.listed(conn, s)]
            print_rows(rows, ("id", "recipient", "state", "next_at"), "No mail waits.", False)
            return 0
        with db.begin(reads=True) as conn:
            ways = channels.listed(conn)
        if app.settings.smtp.host is None and not ways:
            raise UsageError("No mail server is set", hint="set smtp.host in podsift.toml or PODSIFT_SMTP_HOST")
        with hold(app.settings), sole_sender(db):
            r = send_due(db, app.settings, app.clock)
            posted = deliver_due(db, app.settings, app.clock)
    click.echo(f"sent {r.sent}, deferred {r.deferred}, failed {r.failed}, uncertain {r.uncertain}")
    if ways:
        click.echo("channels: " + (", ".join(f"{n} {state}" for state, n in sorted(posted.items())) or "nothing waits"))
    return 5 if r.failed or r.uncertain or set(posted) - {"sent"} else 0


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


@digest.command()
@click.argument("digest_id", type=int)
@json_option
@click.pass_obj
def explain(app: App, digest_id: int, as_json: bool) -> None:
    """Why a digest has what it has: scores, reasons, and what just missed."""
    with app.database() as db, db.begin() as conn:
        told = digests.get(conn, digest_id)["explanation"]
    if told is None:
        raise UsageError(f"Digest {digest_id} was built before explanations were kept")
    if as_json:
        print_json(told)
        return
    relaxed = "; caps were relaxed, as the day was thin" if told["relaxed"] else ""
    click.echo(f"{told['considered']} candidates, floor {told['floor']:g}{relaxed}")
    columns = ("score", "title", "show", "writer", "reason")
    click.echo("\nChosen")
    print_rows(told["chosen"], columns, "Nothing.", False)
    click.echo("\nJust missed")
    print_rows(told["missed"], columns, "Nothing.", False)


@digest.command()
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The local day, as 2026-11-24.")
@click.option("--to", "email", help="Whose digest (default: the first subscriber's).")
@click.option(
    "--weights", "--weight", "weights", multiple=True, metavar="KIND:NAME=X", help="writer:, show: or topic: times X."
)
@click.option("--floor", type=float, help="Another floor.")
@click.option("--count", type=click.IntRange(1, 50), help="Another number of insights.")
@json_option
@click.pass_obj
def replay(
    app: App,
    day: datetime,
    email: str | None,
    weights: tuple[str, ...],
    floor: float | None,
    count: int | None,
    as_json: bool,
) -> None:
    """What a day's digest would have been with other weights. Changes nothing."""
    wanted = parse_weights(weights)
    with app.database() as db, db.begin() as conn:
        who = _reader(conn, email)
        made = replay_day(conn, who, day.date(), app.settings, same_reason, wanted, floor, count)
    told = explanation(made.selection, app.settings.digest.floor if floor is None else floor)
    ids = [row["insight"] for row in told["chosen"]]
    for row in told["chosen"]:
        row["sent"] = "sent" if row["insight"] in made.sent else ""
    if as_json:
        print_json(told | {"sent": list(made.sent), "overlap": overlap(ids, made.sent)})
        return
    print_rows(told["chosen"], ("score", "title", "show", "writer", "sent"), "Nothing would have been sent.", False)
    if made.sent:
        click.echo(f"\n{len(set(ids) & set(made.sent))} of the {len(made.sent)} that were sent are among these.")
    else:
        click.echo("\nNo digest was sent that day.")


def _reader(conn: Connection, email: str | None) -> Subscriber:
    people = [subscribers.find(conn, email)] if email else subscribers.listed(conn)
    if not people:
        raise UsageError("There is nobody to show a digest for", hint="podsift subscriber add you@example.org")
    return people[0]
