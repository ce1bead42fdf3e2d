"""`podsift metrics`: the figures in Prometheus' text form, once, to a file, or served on loopback."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

from pipeline.cli.shared import App
from pipeline.cli.up import stopped
from pipeline.errors import UsageError
from pipeline.metrics.exposition import CONTENT_TYPE, render, write_file
from pipeline.store.database import Database


@click.command()
@click.option(
    "--textfile", type=click.Path(path_type=Path), help="Write there, for node_exporter's textfile collector."
)
@click.option("--listen", type=click.IntRange(0, 65535), help="Serve them on this port of 127.0.0.1 until stopped.")
@click.pass_obj
def metrics(app: App, textfile: Path | None, listen: int | None) -> None:
    """Print the metrics; `podsift web` serves them at /metrics to whoever has the operator's token."""
    with app.database() as db:
        if listen is not None:
            _serve(app, db, listen)
            return
        text = render(db, app.settings, app.clock)
    if textfile is None:
        click.echo(text.decode(), nl=False)
        return
    try:
        write_file(textfile, text)
    except OSError as e:
        raise UsageError(f"{textfile} cannot be written", why=str(e)) from e


def _serve(app: App, db: Database, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            text = render(db, app.settings, app.clock)
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are no news."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        click.echo(f"metrics at http://127.0.0.1:{server.server_port}/metrics; Ctrl-C ends it")
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        stopped().wait()
        server.shutdown()
        thread.join()
