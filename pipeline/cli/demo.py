"""`podsift demo`: the whole way on the bundled sample shows, on this machine alone.

Its data lie in demo-data/ and stay between runs: a second run finds nothing new and sends nothing.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from time import monotonic

import click
from rich.console import Console
from sqlalchemy import Connection

from pipeline import settings as settings_module
from pipeline.cli.progress import Bars
from pipeline.clock import SystemClock
from pipeline.demo.samples import SampleServer
from pipeline.demo.sink import MailSink
from pipeline.digest.work import build_due
from pipeline.email.delivery import send_due
from pipeline.email.render import clock_time, quoted
from pipeline.engine.local import LocalEngine
from pipeline.engine.lock import only_one
from pipeline.errors import PodsiftError
from pipeline.records import StoredInsight, Subscriber
from pipeline.schedule import next_digest
from pipeline.settings import Settings
from pipeline.stages import Workshop
from pipeline.store import episodes, feeds, insights, outbox, subscribers
from pipeline.store.database import Database, open_database

READER = "reader@demo.localhost"
OPERATOR = "demo-operator-token"
FEEDS = ("feed-slow-software.xml", "feed-long-table.xml")


def demo_settings(folder: Path, server: SampleServer, smtp_port: int) -> Settings:
    """The demo's own settings: nothing of the user's environment or podsift.toml changes them."""
    return settings_module.load(
        environ={
            "PODSIFT_DATA_DIR": str(folder),
            "PODSIFT_FEED_ALLOW_HOSTS": f"127.0.0.1:{server.port}",
            "PODSIFT_SMTP_HOST": "127.0.0.1",
            "PODSIFT_SMTP_PORT": str(smtp_port),
            "PODSIFT_SMTP_SECURITY": "none",
            "PODSIFT_SMTP_SENDER": "Podsift <digest@demo.localhost>",
            # The sample shows span twelve days; a first digest of three would see only the newest.
            "PODSIFT_DIGEST_FIRST_LOOKBACK_DAYS": "14",
            "PODSIFT_FEED_LOOKBACK_DAYS": "14",
            "PODSIFT_AUDIO_MIN_FREE_BYTES": "50000000",
            "PODSIFT_SECRET_KEY": server.secret,
            "PODSIFT_WEB_PORT": str(server.pages_port),
            "PODSIFT_WEB_BASE_URL": f"http://127.0.0.1:{server.pages_port}",
            "PODSIFT_WEB_OPEN_SUBSCRIBE": "true",
            # For whoever sits at this machine; the pages listen on loopback.
            "PODSIFT_WEB_OPERATOR_TOKEN": OPERATOR,
        }
        | _environment_config(folder)
    )


def _environment_config(folder: Path) -> dict[str, str]:
    # An empty file of its own, so that a podsift.toml in the current folder is not read.
    path = folder / "demo.toml"
    path.write_text("# The demo's settings are fixed.\n", "utf-8")
    return {"PODSIFT_CONFIG": str(path)}


@click.command()
@click.option("--pages", is_flag=True, help="Then serve the pages, so that the mail's links work, until Ctrl-C.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=Path("demo-data"), show_default=True)
def demo(data: Path, pages: bool) -> int:
    """Poll, download, transcribe, find, rank and mail the bundled sample shows."""
    console = Console(highlight=False)
    data.mkdir(parents=True, exist_ok=True)
    with only_one(data), SampleServer(data) as server, MailSink(data) as sink:
        settings = demo_settings(data, server, sink.port)
        db = open_database(settings)
        try:
            done = _demo(console, db, settings, server.base_url, data, sink)
            return done or (_pages(db, settings) if pages else 0)
        finally:
            db.close()


def _demo(console: Console, db: Database, settings: Settings, base_url: str, data: Path, sink: MailSink) -> int:
    from pipeline.feed.poll import poll

    clock = SystemClock()
    began = monotonic()
    seconds: dict[str, float] = {}
    console.print(
        "[bold]Podsift demo[/bold]: two sample shows, four episodes, one reader. Nothing leaves this machine.\n"
    )
    with db.begin() as conn:
        outbox.end_leases(conn)
        ids = [feeds.add(conn, f"{base_url}/{name}", clock.now())[0] for name in FEEDS]
        who = _reader(conn, settings, clock)
    t = monotonic()
    new = 0
    for polled in poll(db, settings, clock, ids):
        if polled.error:
            raise PodsiftError("A sample feed could not be read", why=polled.error, hint="rm -r demo-data, then again")
        new += polled.new
        console.print(f"  polled              {polled.title}: {polled.why}")
    seconds["poll"] = monotonic() - t
    with db.begin() as conn:
        titles = {r["id"]: r["title"] for r in episodes.listed(conn)}
    bars = Bars(console, titles)
    shop = Workshop(settings, db, clock, bars.share)
    shop.sweep()
    try:
        with bars.progress:
            LocalEngine(db, clock, shop.stages(), bars.report).run(until_idle=True)
    finally:
        shop.close()
    seconds |= bars.seconds
    t = monotonic()
    built = build_due(db, settings, clock, all_=True)
    seconds["rank and render"] = monotonic() - t
    t = monotonic()
    sent = send_due(db, settings, clock)
    seconds["send"] = monotonic() - t
    with db.begin() as conn:
        waiting = [r for s in (*episodes.WAITING, "failed") for r in episodes.listed(conn, stage=s)]
    for row in waiting:
        console.print(f"  [red]episode {row['id']} is at {row['stage']}[/red]: {row['error']}", markup=True)
    if not built.digests and not sent.sent:
        console.print(f"\nNothing new: {new} new episodes, no digest to build, no mail sent for {who.email}.")
        console.print(f"The digest of the first run is in {data}/mail. To start over: rm -r {data}")
        console.print("podsift demo --pages serves the archive, search, audio and preferences.")
        return 1 if waiting or built.failed else 0
    with db.begin() as conn:
        found = [i for d in built.digests for i in insights.of_digest(conn, d)]
    _show(console, found)
    console.print("[bold]Seconds a stage[/bold] (the episodes' added up)")
    for name, spent in seconds.items():
        console.print(f"  {name:16} {spent:6.1f}")
    console.print(f"  {'all, wall clock':16} {monotonic() - began:6.1f}\n")
    for path in sink.files():
        console.print(f"mail  {path}")
    console.print(
        "\n[bold]Next[/bold]\n"
        f"  open {data}/mail/*.html in a browser; run the demo again: it sends nothing twice\n"
        "  podsift demo --pages serves the archive, search, audio and preferences, and the mail's links work\n"
        "  your own shows: podsift init, podsift feed add URL, podsift subscriber add YOU@EXAMPLE.ORG, podsift up"
    )
    (data / "timings.json").write_text(json.dumps(seconds, indent=1), "utf-8")
    return 1 if waiting or built.failed or sent.sent != 1 else 0


def _pages(db: Database, settings: Settings) -> int:
    """The archive and the reader's own pages, with the samples' audio beside them."""
    from pipeline.cli.web import serve

    click.echo(f"operator pages at {settings.web.base_url}/ops with the token {OPERATOR}")
    return serve(db, settings, SystemClock())


def _reader(conn: Connection, settings: Settings, clock: SystemClock) -> Subscriber:
    for known in subscribers.listed(conn):
        return known
    now = clock.now()
    row = {
        "email": READER,
        "state": "active",
        "time_zone": "UTC",
        "hour": 7,
        "minute": 0,
        "count": settings.digest.count,
        "nonce": "demo" * 8,
        "created_at": now,
        "next_digest_at": next_digest(now, 7, 0, "UTC", None),
    }
    return subscribers.add(conn, row)


def _show(console: Console, found: list[StoredInsight]) -> None:
    console.print(f"\n[bold]The digest: {len(found)} insights[/bold]\n")
    for k, i in enumerate(found, 1):
        console.print(f"{k}. {i.title}", style="bold", markup=False)
        where = f"   {i.show}: {i.episode}, at {clock_time(i.start_s)}" + (f", {i.speaker}" if i.speaker else "")
        console.print(where, style="dim", markup=False)
        for line in textwrap.wrap(f"“{quoted(i)}”", min(console.width - 4, 92)):
            console.print(f"   {line}", markup=False)
        console.print()
