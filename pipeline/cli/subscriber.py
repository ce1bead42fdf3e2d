"""`podsift subscriber`: who gets the digest."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.digest.wishes import checked, parse_days
from pipeline.email import optin, suppress
from pipeline.email.addresses import check
from pipeline.email.roster import imported, read_csv
from pipeline.errors import UsageError
from pipeline.schedule import at_local
from pipeline.store import subscribers


@click.group()
def subscriber() -> None:
    """Who gets the digest."""


@subscriber.command()
@click.argument("email")
@click.option("--hour", type=click.IntRange(0, 23), help="Local hour of the digest (default: digest.hour).")
@click.option("--time-zone", help="For example Europe/Berlin (default: digest.time_zone).")
@click.option("--count", type=click.IntRange(3, 10), help="Insights in each digest (default: digest.count).")
@click.option("--days", help="For example mon-fri (default: all).")
@click.option("--ask", is_flag=True, help="Send a confirm mail first, instead of vouching for the address.")
@click.pass_obj
def add(
    app: App, email: str, hour: int | None, time_zone: str | None, count: int | None, days: str | None, ask: bool
) -> None:
    """Send the digest to an address. Without --ask you vouch that its owner wants it."""
    wishes = _given(hour=hour, time_zone=time_zone, count=count, days=parse_days(days) if days else None)
    now = app.clock.now()
    with app.database() as db, db.begin() as conn:
        if ask:
            said = optin.ask(conn, app.settings, email, now, {"how": "operator"}, wishes=wishes, by_person=False)
            click.echo(f"{email}: {optin.SAID[said]}")
            return
        address = check(email)
        why = suppress.why(conn, app.settings, address)
        if why:
            raise UsageError(f"{address} is suppressed", why=why, hint=f"podsift mail suppressed remove {address}")
        who = optin.add_confirmed(conn, app.settings, address, now, {"how": "operator"}, wishes)
    click.echo(f"{who.email} gets the digest at {who.hour:02}:00 ({who.time_zone}), first at {who.next_digest_at}")


def _given(**values: Any) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}


@subscriber.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--confirmed", is_flag=True, help="You vouch for every address; no confirm mail is sent.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@json_option
@click.pass_obj
def import_(app: App, path: Path, confirmed: bool, dry_run: bool, as_json: bool) -> int:
    """Add the addresses of a CSV file, each with a confirm mail (or --confirmed).

    The first line names the columns: email, and if you like time_zone, hour, count, days, wanted_topics, muted_topics
    (several separated by ;). Addresses that left, or are suppressed, stay away.
    """
    lines = read_csv(path)
    with app.database() as db, db.begin() as conn:
        rows = imported(conn, app.settings, lines, app.clock.now(), confirmed=confirmed)
        if dry_run:
            conn.rollback()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["result"]] = counts.get(row["result"], 0) + 1
    if as_json:
        print_json({"dry_run": dry_run, "counts": counts, "rows": rows})
    else:
        for row in rows:
            if row["result"] == "wrong":
                click.echo(f"line {row['line']}: {row['email'][:80]}: {row['why']}", err=True)
        said = ", ".join(f"{n} {k}" for k, n in sorted(counts.items())) or "no line"
        click.echo(("would be: " if dry_run else "") + said)
    return 5 if counts.get("wrong") else 0


@subscriber.command("list")
@click.option("--state", type=click.Choice(list(subscribers.STATES)), help="Only those in this state.")
@json_option
@click.pass_obj
def list_(app: App, state: str | None, as_json: bool) -> None:
    """Everybody, with the time of the next digest."""
    with app.database() as db, db.begin(reads=True) as conn:
        rows = [asdict(s) for s in subscribers.listed(conn, all_states=True) if state in (None, s.state)]
    for row in rows:
        row.pop("nonce")  # it opens the links of mails; not for a list
    columns = ("email", "state", "hour", "time_zone", "count", "next_digest_at", "last_digest_date")
    print_rows(rows, columns, "Nobody yet. podsift subscriber add you@example.org", as_json)


@subscriber.command("set")
@click.argument("email")
@click.option("--hour", type=click.IntRange(0, 23), help="Local hour of the digest.")
@click.option("--zone", "--time-zone", "time_zone", help="For example Europe/Berlin.")
@click.option("--days", help="For example mon-fri, mon,thu or all.")
@click.option("--count", type=click.IntRange(3, 10), help="Insights in each digest.")
@click.option("--want-topic", multiple=True, help="Replaces the wanted topics; once for each.")
@click.option("--mute-topic", multiple=True, help="Replaces the muted topics; once for each.")
@click.option("--want-show", multiple=True, type=int, help="A feed's id; replaces the wanted shows.")
@click.option("--mute-show", multiple=True, type=int, help="A feed's id; replaces the muted shows.")
@click.option("--pause-until", help="A day (2026-12-24) from which on there are digests again, or `never`.")
@click.option("--resume", is_flag=True, help="End a pause.")
@click.option("--mail/--no-mail", "by_mail", default=None, help="Whether digests are mailed, or go to channels alone.")
@json_option
@click.pass_obj
def set_(app: App, /, email: str, pause_until: str | None, resume: bool, as_json: bool, **given: Any) -> None:
    """Change what a subscriber gets."""
    wishes = _given(**{k: given[k] for k in ("hour", "time_zone", "count", "by_mail")})
    if given["days"]:
        wishes["days"] = parse_days(given["days"])
    for option, name in (
        ("want_topic", "wanted_topics"), ("mute_topic", "muted_topics"),
        ("want_show", "wanted_shows"), ("mute_show", "muted_shows"),
    ):  # fmt: skip
        if given[option]:
            wishes[name] = given[option]
    if not wishes and not pause_until and not resume:
        raise UsageError("Nothing to change", hint="podsift subscriber set --help")
    now = app.clock.now()
    with app.database() as db, db.begin() as conn:
        who = subscribers.find(conn, check(email))
        who = subscribers.change(conn, who.id, checked(wishes), now)
        if pause_until:
            who = subscribers.pause(conn, who.id, pause_end(pause_until, who.time_zone, now), now)
        if resume:
            who = subscribers.resume(conn, who.id, now)
    shown = asdict(who)
    shown.pop("nonce")
    if as_json:
        print_json(shown)
    else:
        days = ",".join(map(str, who.days))
        click.echo(
            f"{who.email}: {who.state}, {who.hour:02}:{who.minute:02} {who.time_zone}, days {days}, "
            f"{who.count} insights, next at {who.next_digest_at or 'no set time'}"
        )


def pause_end(text: str, zone: str, now: datetime) -> datetime | None:
    """The start of that local day; None for `never`. Raises UsageError."""
    if text == "never":
        return None
    try:
        until = at_local(date.fromisoformat(text), 0, 0, zone).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise UsageError(f"{text!r} is not a day", hint="give it as 2026-12-24, or never") from e
    if until <= now:
        raise UsageError(f"{text} is not in the future")
    return until


@subscriber.command()
@click.argument("email")
@click.option("--json", "_as_json", is_flag=True, help="Print JSON (it is always JSON).")
@click.pass_obj
def export(app: App, email: str, _as_json: bool) -> None:
    """Everything that is stored about a person."""
    with app.database() as db, db.begin(reads=True) as conn:
        who = subscribers.find(conn, check(email))
        print_json(subscribers.export(conn, who.id))


@subscriber.command()
@click.argument("email")
@click.pass_obj
def remove(app: App, email: str) -> None:
    """Unsubscribe an address; takes effect at once, also for mail that waits."""
    with app.database() as db, db.begin() as conn:
        who = subscribers.find(conn, check(email))
        subscribers.remove(conn, who.id, app.clock.now())
    click.echo(f"{who.email} gets nothing more")


@subscriber.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(app: App, email: str, yes: bool) -> None:
    """Erase a person with everything stored about them. An entry on the suppression list stays, as a hash."""
    with app.database() as db:
        with db.begin(reads=True) as conn:
            who = subscribers.find(conn, check(email))
        if not yes:
            click.confirm(f"Erase {who.email} with all digests, mails and feedback?", abort=True)
        with db.begin() as conn:
            subscribers.erase(conn, who.id)
    click.echo(f"{who.email} is erased")
