"""`podsift channel`: other ways out for a subscriber's digests."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import Connection

from pipeline.channel.base import Post
from pipeline.channel.ways import WAYS, kind_of, opened, sealed
from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.email.addresses import check
from pipeline.email.render import headline
from pipeline.errors import UsageError
from pipeline.records import DigestIssue
from pipeline.store import channels as store
from pipeline.store import digests, subscribers


@click.group()
def channel() -> None:
    """Other ways out for a subscriber's digests: webhooks, chats, folders of notes."""


@channel.command()
@click.argument("address")
@click.option("--to", "email", help="Whose digests go there (default: the first subscriber's).")
@click.option("--name", help="A name for it (default: its kind and a number).")
@click.option("--kind", type=click.Choice(list(WAYS)), help="What the address is (default: as it looks).")
@json_option
@click.pass_obj
def add(app: App, address: str, email: str | None, name: str | None, kind: str | None, as_json: bool) -> None:
    """Post each digest to ADDRESS as well, from the next one on.

    https://... is a webhook that gets signed JSON; ntfy://, slack://, discord://, tgram:// and what else Apprise
    knows are chats; folder:/path/to/notes gets a Markdown file a day. Mail goes on, unless
    `podsift subscriber set --no-mail` ends it.
    """
    kind = kind or kind_of(address)
    place = WAYS[kind].place(address, app.settings)
    with app.database() as db, db.begin() as conn:
        people = [subscribers.find(conn, check(email))] if email else subscribers.listed(conn)
        if not people:
            raise UsageError("There is nobody whose digests could go there", hint="podsift subscriber add EMAIL")
        named = name or f"{kind}-{len(store.listed(conn)) + 1}"
        made = store.add(conn, people[0].id, kind, named, sealed(place, app.settings), place.shown, app.clock.now())
    if as_json:
        print_json(
            {"id": made, "name": named, "kind": kind, "of": people[0].email, "secret": place.secrets.get("secret")}
        )
        return
    click.echo(f"channel {named} ({kind}): the digests of {people[0].email} go to {place.shown}")
    if "secret" in place.secrets:
        click.echo(
            f"its secret, shown this once, for the other side to check signatures with: {place.secrets['secret']}"
        )
    click.echo(f"next: podsift channel test {named}")


@channel.command("list")
@json_option
@click.pass_obj
def list_(app: App, as_json: bool) -> None:
    """The channels, without their secrets."""
    with app.database() as db, db.begin(reads=True) as conn:
        rows = store.listed(conn)
    print_rows(rows, ("id", "name", "kind", "shown", "of", "state", "why"), "No channel. podsift channel add", as_json)


@channel.command()
@click.argument("name")
@click.pass_obj
def test(app: App, name: str) -> int:
    """Post the newest digest there now, as a test; nothing is kept of it."""
    with app.database() as db, db.begin(reads=True) as conn:
        found = store.find(conn, name)
        issue, digest_id = _newest(conn, found["subscriber_id"], app)
    way = WAYS[found["kind"]]
    now = app.clock.now()
    post = Post(f"test-{found['id']}-{int(now.timestamp())}", way.body(issue, digest_id, app.settings), now)
    fate = way.post(opened(found["sealed"], app.settings), post, app.settings)
    click.echo(f"{found['name']}: {'taken' if fate.outcome == 'sent' else 'not taken'} ({fate.why})")
    return 0 if fate.outcome == "sent" else 1


def _newest(conn: Connection, subscriber_id: int, app: App) -> tuple[DigestIssue, int]:
    ids = digests.of_subscriber(conn, subscriber_id, 1)
    if ids:
        return digests.issue(conn, ids[0]), ids[0]
    said = f"{headline(0)}: this is a test, no digest has been made yet"
    return DigestIssue(app.clock.now().date().isoformat(), (), 5, 0, 0, said), 0


@channel.command()
@click.argument("name")
@click.pass_obj
def pause(app: App, name: str) -> None:
    """Nothing more goes there until it is resumed."""
    _set(app, name, "paused", "by the operator")


@channel.command()
@click.argument("name")
@click.pass_obj
def resume(app: App, name: str) -> None:
    """Digests go there again, from the next one on."""
    _set(app, name, "active", None)


def _set(app: App, name: str, state: str, why: str | None) -> None:
    with app.database() as db, db.begin() as conn:
        found = store.find(conn, name)
        store.change(conn, found["id"], state, why)
    click.echo(f"channel {found['name']} is {state}")


@channel.command()
@click.argument("name")
@click.pass_obj
def remove(app: App, name: str) -> None:
    """Forget a channel, and what was delivered to it."""
    with app.database() as db, db.begin() as conn:
        found = store.find(conn, name)
        store.remove(conn, found["id"])
    click.echo(f"channel {found['name']} is removed")


@channel.command()
@click.option("--state", type=click.Choice(list(store.STATES)), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def log(app: App, state: str | None, limit: int, as_json: bool) -> None:
    """What was posted, newest first, and what became of it."""
    with app.database() as db, db.begin(reads=True) as conn:
        rows: list[dict[str, Any]] = store.deliveries(conn, state, limit)
    print_rows(rows, ("id", "channel", "local_date", "state", "attempts", "next_at", "reply"), "Nothing yet.", as_json)


@channel.command()
@click.argument("delivery_id", type=int)
@click.option("--resend", "to", flag_value="queued", help="Post it again.")
@click.option("--mark-sent", "to", flag_value="sent", help="It arrived; leave it.")
@click.pass_obj
def resolve(app: App, delivery_id: int, to: str | None) -> None:
    """Decide a post of which nobody can know whether it arrived, or try a failed one again."""
    if to is None:
        raise click.UsageError("say --resend or --mark-sent")
    with app.database() as db, db.begin() as conn:
        store.resolve(conn, delivery_id, to, app.clock.now())
    click.echo(f"delivery {delivery_id} is {to}")
