"""`podsift subscriber`: who gets the digest."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from zoneinfo import available_timezones

import click

from pipeline.cli.shared import App, json_option, print_rows
from pipeline.email.addresses import check
from pipeline.errors import UsageError
from pipeline.schedule import next_digest
from pipeline.store import digests


@click.group()
def subscriber() -> None:
    """Who gets the digest."""


@subscriber.command()
@click.argument("email")
@click.option("--hour", type=click.IntRange(0, 23), help="Local hour of the digest (default: digest.hour).")
@click.option("--time-zone", help="For example Europe/Berlin (default: digest.time_zone).")
@click.option("--count", type=click.IntRange(3, 10), help="Insights in each digest (default: digest.count).")
@click.pass_obj
def add(app: App, email: str, hour: int | None, time_zone: str | None, count: int | None) -> None:
    """Send the digest to an address. You vouch that its owner wants it."""
    given = app.settings.digest
    zone = time_zone or given.time_zone
    if zone not in available_timezones():
        raise UsageError(f"{zone!r} is not a time zone", hint="use a name such as Europe/Berlin")
    at = given.hour if hour is None else hour
    now = app.clock.now()
    row = {
        "email": check(email),
        "state": "active",
        "time_zone": zone,
        "hour": at,
        "minute": 0,
        "count": count or given.count,
        "nonce": secrets.token_hex(16),
        "created_at": now,
        "next_digest_at": next_digest(now, at, 0, zone, None),
    }
    with app.database() as db, db.begin() as conn:
        who = digests.add_subscriber(conn, row)
    click.echo(f"{who.email} gets the digest at {who.hour:02}:00 ({who.time_zone}), first at {who.next_digest_at}")


@subscriber.command("list")
@json_option
@click.pass_obj
def list_(app: App, as_json: bool) -> None:
    """Everybody, with the time of the next digest."""
    with app.database() as db, db.begin() as conn:
        rows = [asdict(s) for s in digests.subscribers(conn, all_states=True)]
    for row in rows:
        row.pop("nonce")  # it opens the unsubscribe mail; not for a list
    columns = ("email", "state", "hour", "time_zone", "count", "next_digest_at", "last_digest_date")
    print_rows(rows, columns, "Nobody yet. podsift subscriber add you@example.org", as_json)


@subscriber.command()
@click.argument("email")
@click.pass_obj
def remove(app: App, email: str) -> None:
    """Unsubscribe an address; takes effect at once, also for mail that waits."""
    with app.database() as db, db.begin() as conn:
        who = digests.find_subscriber(conn, check(email))
        digests.remove_subscriber(conn, who.id, app.clock.now())
    click.echo(f"{who.email} gets nothing more")
