"""`podsift worker`: does what waits in some queues. For PostgreSQL, beside one `podsift clock`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from pipeline.backup import prune as pruning
from pipeline.cli.shared import App
from pipeline.cli.up import chores, stopping
from pipeline.engine.open import open_engine
from pipeline.engine.ticks import HOUR_S
from pipeline.errors import PodsiftError, UsageError
from pipeline.stages import Workshop

log = logging.getLogger(__name__)

QUEUES = ("poll", "download", "transcribe", "extract", "relate", "digest")


def require_postgres(app: App) -> None:
    """Raise UsageError on SQLite, where one process does everything."""
    if not app.settings.on_postgres:
        raise UsageError(
            "This part runs on PostgreSQL only",
            why="on SQLite one process does everything",
            hint="use podsift up, or set database.url (PODSIFT_DATABASE_URL)",
        )


@contextmanager
def sweeping(sweep: Callable[[], object], every_s: float = HOUR_S) -> Iterator[None]:
    """Once an hour, as another machine may have transcribed what this one downloaded."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every_s):
            try:
                sweep()
            except (PodsiftError, OSError) as e:
                log.warning("audio that is left over was not swept: %s", e)

    thread = threading.Thread(target=run, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@click.command()
@click.option(
    "--queue",
    "queues",
    multiple=True,
    type=click.Choice(QUEUES),
    help="Take this one only (may be repeated).",
)
@click.pass_obj
def worker(app: App, queues: tuple[str, ...]) -> None:
    """Work on queues until it is stopped. Any number on any number of machines."""
    require_postgres(app)
    wanted = set(queues or QUEUES)
    with app.database() as db:
        shop = Workshop(app.settings, db, app.clock)
        shop.sweep(app.clock.now() - pruning.FRESH)
        stages = [s for s in shop.stages() if s.name in wanted]
        does = {name: do for name, do in chores(app, db).items() if name in wanted}
        engine = open_engine(db, app.clock, stages, chores=does)
        click.echo(f"works on {', '.join(q for q in QUEUES if q in wanted)}; Ctrl-C ends it after the step in hand")
        try:
            with stopping(engine), sweeping(lambda: shop.sweep(app.clock.now() - pruning.FRESH)):
                engine.run(until_idle=False)
        finally:
            shop.close()
