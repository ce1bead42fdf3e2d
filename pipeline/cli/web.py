"""`podsift web`: the pages. Runs beside `podsift up` on SQLite, and any number of times on PostgreSQL."""

from __future__ import annotations

import click

from pipeline.cli.shared import App
from pipeline.store import blocks

TOGETHER = 200
"""Requests in hand at a time; more are told to come again (503)."""


@click.command()
@click.option("--host", help="Address to listen on (default: web.host).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default: web.port); 0 is any free one.")
@click.pass_obj
def web(app: App, host: str | None, port: int | None) -> int:
    """Serve the archive, search, the subscribers' pages and the operator's, until it is stopped."""
    import uvicorn

    from pipeline.web.app import application
    from pipeline.web.site import Site

    settings = app.settings
    with app.database() as db:
        while True:
            with db.begin() as conn:
                if not blocks.fill(conn):
                    break
        site = Site(settings, db, app.clock)
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
