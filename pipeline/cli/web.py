"""`podsift web`: the pages. Runs beside `podsift up` on SQLite, and any number of times on PostgreSQL."""

from __future__ import annotations

import click

from pipeline.cli.shared import App
from pipeline.clock import Clock
from pipeline.settings import Settings
from pipeline.store import blocks
from pipeline.store.database import Database

TOGETHER = 200
"""Requests in hand at a time; more are told to come again (503)."""


@click.command()
@click.option("--host", help="Address to listen on (default: web.host).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default: web.port); 0 is any free one.")
@click.pass_obj
def web(app: App, host: str | None, port: int | None) -> int:
    """Serve the archive, search, the subscribers' pages and the operator's, until it is stopped."""
    with app.database() as db:
        return serve(db, app.settings, app.clock, host, port)


def serve(db: Database, settings: Settings, clock: Clock, host: str | None = None, port: int | None = None) -> int:
    """Serve the pages of a database until Ctrl-C. Returns the exit code."""
    import uvicorn

    from pipeline.web.app import application
    from pipeline.web.site import Site

    while True:
        with db.begin() as conn:
            if not blocks.fill(conn):
                break
    site = Site(settings, db, clock)
    server = uvicorn.Server(
        uvicorn.Config(
            application(site),
            host=host or settings.web.host,
            port=settings.web.port if port is None else port,
            root_path=site.root,
            lifespan="off",
            server_header=False,
            access_log=False,
            log_config=None,
            limit_concurrency=TOGETHER,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=10,
            forwarded_allow_ips=settings.web.trusted_proxies,
        )
    )
    click.echo(f"pages at http://{server.config.host}:{server.config.port}{site.root}/; Ctrl-C ends it")
    server.run()
    return 0 if server.started else 1
