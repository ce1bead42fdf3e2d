"""`podsift feed set`, `feed tag`, `feed rekey`: what a reader asks of a feed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import click

from pipeline.channel.ways import resealed
from pipeline.cli.shared import App
from pipeline.episode.intake import past_wanted
from pipeline.episode.select import FeedRules, parse_backfill
from pipeline.errors import UsageError
from pipeline.feed import private
from pipeline.feed.filters import check, described, to_json
from pipeline.feed.opml import tags
from pipeline.store import channels, episodes, feeds

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--include", multiple=True, metavar="RULE", help="Only titles with this text, or /expression/."),
    click.option("--exclude", multiple=True, metavar="RULE", help="No titles with this text, or /expression/."),
    click.option("--min-minutes", type=float, help="Nothing shorter; 0 takes the limit away."),
    click.option("--max-minutes", type=float, help="Nothing longer; 0 takes the limit away."),
    click.option("--explicit", type=click.Choice(["skip", "only", "any"]), help="What to do with episodes so marked."),
    click.option("--backfill", metavar="POLICY", help="Of its past: none, last:20 or since:2026-01-31."),
)


def rule_options(f: F) -> F:
    """The options that say which episodes are wanted."""
    for option in reversed(_OPTIONS):
        f = option(f)
    return f


def rules_of(before: FeedRules, given: dict[str, Any]) -> FeedRules:
    """The rules with what was given put in; an empty text clears a list, 0 a limit. Raises UsageError."""
    filters = before.filters
    if given["include"]:
        filters = replace(filters, include=_stripped(given["include"]))
    if given["exclude"]:
        filters = replace(filters, exclude=_stripped(given["exclude"]))
    if given["min_minutes"] is not None:
        filters = replace(filters, min_minutes=given["min_minutes"] or None)
    if given["max_minutes"] is not None:
        filters = replace(filters, max_minutes=given["max_minutes"] or None)
    if given["explicit"] is not None:
        filters = replace(filters, explicit=None if given["explicit"] == "any" else given["explicit"])
    backfill = before.backfill if given["backfill"] is None else parse_backfill(given["backfill"])
    return FeedRules(check(filters), backfill)


def _stripped(rules: Sequence[str]) -> tuple[str, ...]:
    return tuple(r.strip() for r in rules if r.strip())


def described_rules(rules: FeedRules) -> str:
    """The rules in a sentence; empty when there are none."""
    parts = [described(rules.filters), f"backfill {rules.backfill}" if str(rules.backfill) != "none" else ""]
    return ", ".join(p for p in parts if p)


def read_secret(from_stdin: bool) -> str:
    """A password, never from the command line, which other users of the machine can see."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise UsageError("No terminal to ask for the password", hint="--password-stdin reads it from standard input")
    return str(click.prompt("Password", hide_input=True))


@click.command("set")
@click.argument("name")
@rule_options
@click.option("--user", help="User of a private feed; the password is asked for, or read with --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def set_(app: App, /, name: str, user: str | None, password_stdin: bool, yes: bool, **given: Any) -> None:
    """Which episodes of a feed are wanted, how much of its past, and who we are to its server.

    Include, exclude and the limits hold for episodes that are read from now on; a backfill policy takes in at once what
    was skipped before. Without options the rules are shown.
    """
    with app.database() as db:
        with db.begin() as conn:
            found = feeds.find(conn, name)
            rules = rules_of(feeds.rules(conn, found["id"]), given)
            past = past_wanted(conn, found["id"], rules) if given["backfill"] else []
        hours = sum(s for _, s in past) / 3600
        if past:
            click.echo(f"takes in {len(past)} episodes of its past, about {hours:.1f} hours of audio")
            if not yes and sys.stdin.isatty():
                click.confirm("Process them?", abort=True)
        values: dict[str, Any] = {"filters": to_json(rules.filters), "backfill": str(rules.backfill)}
        if user is not None:
            password = read_secret(password_stdin)
            with db.begin() as conn:
                before = feeds.credentials(conn, found["id"])
            values["credentials"] = private.relogin(found["url"], before, user, password, app.settings)
        with db.begin() as conn:
            feeds.change(conn, found["id"], values)
            episodes.take_back(conn, [i for i, _ in past])
        click.echo(f"feed {found['id']}: {described_rules(rules) or 'no rules: everything new is processed'}")


@click.group()
def tag() -> None:
    """Tags of feeds: `feed list --tag NAME` shows those that have one."""


@tag.command("add")
@click.argument("name")
@click.argument("names", nargs=-1, required=True, metavar="TAG...")
@click.pass_obj
def tag_add(app: App, name: str, names: tuple[str, ...]) -> None:
    """Give a feed tags."""
    with app.database() as db, db.begin() as conn:
        found = feeds.find(conn, name)
        feeds.tag(conn, found["id"], tags(names))
        click.echo(f"feed {found['id']}: {', '.join(feeds.tags_of(conn, found['id']).get(found['id'], []))}")


@tag.command("remove")
@click.argument("name")
@click.argument("names", nargs=-1, required=True, metavar="TAG...")
@click.pass_obj
def tag_remove(app: App, name: str, names: tuple[str, ...]) -> None:
    """Take tags from a feed."""
    with app.database() as db, db.begin() as conn:
        found = feeds.find(conn, name)
        feeds.untag(conn, found["id"], tags(names))
        left = feeds.tags_of(conn, found["id"]).get(found["id"], [])
        click.echo(f"feed {found['id']}: {', '.join(left) or 'no tags'}")


@click.command()
@click.pass_obj
def rekey(app: App) -> None:
    """Seal all stored credentials with the newest key of secret_key, so that the older keys can go."""
    with app.database() as db, db.begin() as conn:
        again = private.resealed(feeds.sealed(conn), app.settings)
        for feed_id, sealed in again.items():
            feeds.change(conn, feed_id, {"credentials": sealed})
        click.echo(f"sealed {len(again)} of {len(feeds.sealed(conn))} private feeds again")
        moved = channels.reseal(conn, lambda sealed: resealed(sealed, app.settings))
        click.echo(f"sealed {moved} of {len(channels.listed(conn))} channels again")
