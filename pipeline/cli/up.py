"""`podsift up`: everything in one process, with APScheduler as the clock."""

from __future__ import annotations

import logging
import signal
from types import FrameType

import click
from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.cli.shared import App
from pipeline.digest.work import morning
from pipeline.engine.local import LocalEngine
from pipeline.engine.lock import only_one
from pipeline.errors import PodsiftError
from pipeline.stages import Workshop
from pipeline.store import outbox

log = logging.getLogger("podsift")


@click.command()
@click.pass_obj
def up(app: App) -> None:
    """Keep going: poll feeds as they fall due, process episodes, send each digest at its hour. Ctrl-C stops it."""
    from pipeline.feed.poll import poll_due

    with only_one(app.settings.data_dir), app.database() as db:
        with db.begin() as conn:
            outbox.end_leases(conn)
        shop = Workshop(app.settings, db, app.clock)
        shop.sweep()
        engine = LocalEngine(db, app.clock, shop.stages())

        def poll_tick() -> None:
            for p in poll_due(db, app.settings, app.clock):
                log.info("feed %s: %s", p.feed_id, p.error or p.why)
            engine.wake()

        def digest_tick() -> None:
            try:
                morning(db, app.settings, app.clock, log.info)
            except PodsiftError as e:
                log.error("sending pauses: %s", e)  # noqa: TRY400 - our own error says it all

        # One instance a job: a slow poll is not started a second time beside itself; missed ticks become one.
        clock = BackgroundScheduler(timezone="UTC", job_defaults={"max_instances": 1, "coalesce": True})
        now = app.clock.now()
        clock.add_job(poll_tick, "interval", seconds=60, next_run_time=now)
        clock.add_job(digest_tick, "interval", seconds=60, next_run_time=now)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            engine.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        clock.start()
        click.echo(f"podsift works on {app.settings.data_dir}; Ctrl-C ends it after the step in hand")
        try:
            engine.run(until_idle=False)
        finally:
            clock.shutdown(wait=True)
            shop.close()
