"""`podsift mail`: bounces, addresses that get nothing, servers that are left alone, the key that signs."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.email import bounce_box, dkim, suppress
from pipeline.email.addresses import check
from pipeline.errors import NotFoundError, UsageError
from pipeline.store import bounces as reports
from pipeline.store import outbox, suppression


@click.group()
def mail() -> None:
    """Bounces, addresses that get nothing, servers that are left alone."""


@mail.command()
@click.option(
    "--maildir", type=click.Path(path_type=Path, file_okay=False), help="Read this folder, not what the settings name."
)
@json_option
@click.pass_obj
def bounces(app: App, maildir: Path | None, as_json: bool) -> None:
    """Take the bounces and complaints that arrived (maildir or IMAP), and list the newest."""
    with app.database() as db:
        done: dict[str, int] = {}
        if maildir is not None or bounce_box.configured(app.settings):
            done = dict(bounce_box.collect(db, app.settings, app.clock, maildir))
        with db.begin(reads=True) as conn:
            rows = reports.listed(conn)
    if as_json:
        print_json({"taken": done, "reports": rows})
        return
    click.echo("taken now: " + (", ".join(f"{n} {kind}" for kind, n in sorted(done.items())) or "nothing"))
    print_rows(rows, ("at", "kind", "status", "recipient", "detail"), "No bounce yet.", False)


@mail.group()
def suppressed() -> None:
    """Addresses that get nothing. They are kept as hashes: look one up by its address."""


@suppressed.command("list")
@json_option
@click.pass_obj
def suppressed_list(app: App, as_json: bool) -> None:
    """The suppression list, newest first."""
    with app.database() as db, db.begin(reads=True) as conn:
        rows = suppression.listed(conn)
    for row in rows:
        row["hash"] = row["hash"][:20]
    print_rows(rows, ("at", "reason", "hash", "detail"), "No address is suppressed.", as_json)


@suppressed.command("show")
@click.argument("email")
@click.pass_obj
def suppressed_show(app: App, email: str) -> None:
    """Whether an address is on the list, and why."""
    with app.database() as db, db.begin(reads=True) as conn:
        why = suppress.why(conn, app.settings, check(email))
    if why is None:
        raise NotFoundError(f"{email} is not suppressed")
    click.echo(f"{email}: {why}: {suppression.REASONS[why]}")


@suppressed.command("add")
@click.argument("email")
@click.pass_obj
def suppressed_add(app: App, email: str) -> None:
    """Never mail an address again."""
    with app.database() as db, db.begin() as conn:
        suppress.suppress(conn, app.settings, check(email), "operator", "by command", app.clock.now())
    click.echo(f"{email} gets nothing more")


@suppressed.command("remove")
@click.argument("email")
@click.pass_obj
def suppressed_remove(app: App, email: str) -> None:
    """Take an address off the list. Its subscription does not come back by itself."""
    with app.database() as db, db.begin() as conn:
        if not suppress.lift(conn, app.settings, check(email)):
            raise NotFoundError(f"{email} is not suppressed", hint="podsift mail suppressed list")
    click.echo(f"{email} may be mailed again")


@mail.command()
@json_option
@click.pass_obj
def holds(app: App, as_json: bool) -> None:
    """Mail servers that are left alone for a while, and why."""
    with app.database() as db, db.begin(reads=True) as conn:
        rows = outbox.holds(conn)
    print_rows(rows, ("server", "until", "strikes", "why"), "No server is left alone.", as_json)


@mail.command()
@click.pass_obj
def resume(app: App) -> None:
    """End every hold: the next pass sends again."""
    with app.database() as db, db.begin() as conn:
        n = outbox.release(conn)
    click.echo(f"{n} holds ended")


@mail.command("dkim")
@json_option
@click.pass_obj
def dkim_(app: App, as_json: bool) -> None:
    """The DNS record to publish for the key that signs."""
    if not dkim.configured(app.settings.smtp):
        raise UsageError("Mails are not signed", hint="set smtp.dkim_selector and smtp.dkim_key")
    name, value = dkim.public_record(app.settings.smtp)
    if as_json:
        print_json({"name": name, "type": "TXT", "value": value})
    else:
        click.echo(f'{name}. TXT "{value}"')
