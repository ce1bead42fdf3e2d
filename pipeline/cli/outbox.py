"""`podsift outbox`: mails and what became of them."""

from __future__ import annotations

import click

from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.store import outbox as store


@click.group()
def outbox() -> None:
    """Mails and what became of them."""


@outbox.command("list")
@click.option("--state", type=click.Choice(list(store.STATES)), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def list_(app: App, state: str | None, limit: int, as_json: bool) -> None:
    """Mails, newest first."""
    with app.database() as db, db.begin(reads=True) as conn:
        rows = store.listed(conn, state, limit)
    print_rows(rows, ("id", "recipient", "kind", "state", "attempts", "next_at", "reply"), "No mail yet.", as_json)


@outbox.command()
@click.argument("mail_id", type=int)
@click.option("--raw", is_flag=True, help="Print the bytes that are sent.")
@json_option
@click.pass_obj
def show(app: App, mail_id: int, raw: bool, as_json: bool) -> None:
    """One mail: where it stands, what that means, what the server said last."""
    with app.database() as db, db.begin(reads=True) as conn:
        row = store.get(conn, mail_id)
    message: bytes = row.pop("message")
    if raw:
        click.echo(message, nl=False)
        return
    row |= {"bytes": len(message), "means": store.STATES[row["state"]]}
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        click.echo(f"{name:13} {'' if value is None else value}")


@outbox.command()
@click.argument("mail_id", type=int)
@click.option("--resend", "to", flag_value="queued", help="Send the same bytes, with the same Message-ID, again.")
@click.option("--mark-sent", "to", flag_value="sent", help="It arrived; leave it.")
@click.pass_obj
def resolve(app: App, mail_id: int, to: str | None) -> None:
    """Decide an uncertain mail: the line was lost after it was handed over, so only a person can know."""
    if to is None:
        raise click.UsageError("say --resend or --mark-sent")
    with app.database() as db, db.begin() as conn:
        store.resolve(conn, mail_id, to, app.clock.now())
    click.echo(f"mail {mail_id} is {to}")
