"""`podsift outbox`: mails and what became of them."""

from __future__ import annotations

import click

from pipeline.cli.shared import App, json_option, print_rows
from pipeline.store import outbox as store


@click.group()
def outbox() -> None:
    """Mails and what became of them."""


@outbox.command("list")
@click.option("--state", type=click.Choice(list(store.STATES)), help="Only those in this state.")
@json_option
@click.pass_obj
def list_(app: App, state: str | None, as_json: bool) -> None:
    """Mails, newest first."""
    with app.database() as db, db.begin() as conn:
        rows = store.listed(conn, state)
    print_rows(rows, ("id", "recipient", "state", "attempts", "next_at", "reply"), "No mail yet.", as_json)


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
