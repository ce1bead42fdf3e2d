"""`podsift feed add`: what a feed would bring is shown before it is followed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import click

from pipeline.cli.feed_rules import described_rules, read_secret, rule_options, rules_of
from pipeline.cli.shared import App
from pipeline.episode.intake import Preview, preview
from pipeline.episode.select import FeedRules
from pipeline.errors import PodsiftError, UsageError
from pipeline.feed import discover, private
from pipeline.feed.filters import to_json
from pipeline.feed.opml import address, tags, web_address
from pipeline.store import feeds, twins
from pipeline.store.database import Database


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for with the addresses."""

    rules: FeedRules
    tags: tuple[str, ...]
    user: str | None
    password: str | None
    private: bool
    ask: bool
    dry_run: bool


@click.command()
@click.argument("urls", nargs=-1, required=True)
@rule_options
@click.option("--tag", "tag_names", multiple=True, help="Give it this tag (again for more).")
@click.option("--user", help="User of a private feed; the password is asked for, or read with --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--private", "secret_path", is_flag=True, help="The whole address is a secret: it is kept encrypted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what it would process, and change nothing.")
@click.pass_obj
def add(
    app: App,
    /,
    urls: tuple[str, ...],
    tag_names: tuple[str, ...],
    user: str | None,
    password_stdin: bool,
    secret_path: bool,
    yes: bool,
    dry_run: bool,
    **rules: Any,
) -> int:
    """Follow shows by the address of their feed, of a web page that names it, or of an Apple Podcasts page.

    What each would process is shown first, and asked for on a terminal. Each is polled at once; nothing is kept of one
    that cannot be read.
    """
    wish = Wish(
        rules_of(FeedRules(), rules),
        tags(tag_names),
        user,
        read_secret(password_stdin) if user is not None else None,
        secret_path,
        ask=not yes and not dry_run and sys.stdin.isatty(),
        dry_run=dry_run,
    )
    plain = [address(url.strip()) for url in urls]
    for url in plain:
        if not web_address(url):
            raise UsageError(f"{private.masked(url)!r} is not a feed address", hint="give it as https://...")
    with app.database() as db:
        failed = sum(not _add(app, db, url, wish) for url in plain)
    return 0 if not failed else 1 if failed == len(urls) else 5


def _add(app: App, db: Database, url: str, wish: Wish) -> bool:
    shown, secret = private.take_apart(url, user=wish.user, password=wish.password, private=wish.private)
    access = private.reached(shown, secret)
    sealed = private.seal(secret, app.settings) if secret else None  # before anything is fetched: there must be a key
    if _known(app, db, shown, secret):
        return True
    try:
        found = discover.discover(access.url, discover.fetcher(app.settings.feed, access), discover.read_apart)
    except PodsiftError as e:
        told = access.scrubbed(e)
        click.echo(f"not added: {shown}\n  why: {told}" + (f"\n  try: {told.hint}" if told.hint else ""), err=True)
        return False
    if found.url != access.url:
        # A page named it: what was secret of the page's address is not of the feed's, but for the same origin's login.
        own = secret if secret and secret.origin == private.origin(found.url) else None
        user, password = (own.user, own.password) if own else (None, None)
        shown, secret = private.take_apart(found.url, user=user, password=password, private=wish.private)
        sealed = private.seal(secret, app.settings) if secret else None
        click.echo(f"found the feed {shown}" + (f" ({len(found.others)} more there)" if found.others else ""))
        if _known(app, db, shown, secret):
            return True
    with db.begin() as conn:
        brings = preview(conn, found.feed, wish.rules, app.settings.feed, app.clock.now())
    _tell(brings, wish.rules)
    if wish.dry_run:
        return True
    if wish.ask and not click.confirm("Follow it?", default=True):
        return True
    return _follow(app, db, shown, sealed, wish)


def _known(app: App, db: Database, shown: str, secret: private.Credentials | None) -> bool:
    with db.begin() as conn:
        known = feeds.known(conn, shown)
        if known is None and secret is not None and secret.url:
            known = private.which(feeds.sealed(conn), secret, app.settings)
    if known is not None:
        click.echo(f"{shown} is followed already (feed {known})")
    return known is not None


def _follow(app: App, db: Database, shown: str, sealed: str | None, wish: Wish) -> bool:
    from pipeline.feed.poll import poll

    with db.begin() as conn:
        feed_id, _ = feeds.add(conn, shown, app.clock.now())
        backfill = str(wish.rules.backfill)
        feeds.change(
            conn, feed_id, {"credentials": sealed, "filters": to_json(wish.rules.filters), "backfill": backfill}
        )
        feeds.tag(conn, feed_id, wish.tags)
    (result,) = poll(db, app.settings, app.clock, [feed_id])
    if result.error:
        with db.begin() as conn:
            feeds.remove(conn, feed_id)
        click.echo(f"not added: {shown}\n  why: {result.error}", err=True)
        return False
    click.echo(f"feed {feed_id}: {result.title}: {result.why}")
    with db.begin() as conn:
        first = twins.twins(conn).get(feed_id)
    if first is not None:
        click.echo(f"  it is the same show as feed {first}; what one of them has is not processed twice")
    return True


def _tell(p: Preview, rules: FeedRules) -> None:
    click.echo(f"{p.title or 'a feed without a title'}: {p.episodes or 'no'} episodes" + _without(p))
    if p.episodes:
        click.echo(f"  would process now: {p.now}, about {p.now_s / 3600:.1f} hours of audio")
    if p.past:
        click.echo(
            f"  would process of its past: {p.past}, about {p.past_s / 3600:.1f} hours, behind fresh ones and out of "
            "the digest"
        )
    if p.unknown:
        click.echo(f"  {p.unknown} of them do not say how long they are and count for an hour each")
    for reason, n in p.left:
        click.echo(f"  not now: {n}, {reason}")
    if described_rules(rules):
        click.echo(f"  rules: {described_rules(rules)}")
    if p.episodes and not p.now and not p.past:
        click.echo(
            "  new episodes will be processed as they come; --backfill last:3 takes in the newest three of these too"
        )


def _without(p: Preview) -> str:
    return "" if p.episodes else " with audio; what comes later will be processed"
