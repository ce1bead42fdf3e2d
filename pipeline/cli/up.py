"""`podsift up`: everything, in parts that are watched and started again."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

import click

from pipeline.backup import prune as pruning
from pipeline.cli.shared import App
from pipeline.digest.work import morning
from pipeline.engine.base import Engine
from pipeline.engine.lock import hold
from pipeline.engine.open import open_engine
from pipeline.engine.supervise import STATUS, Supervisor, parts
from pipeline.engine.ticks import DAY_S, EVERY_S, HOUR_S, ClockThread, Tick, scheduler
from pipeline.errors import UsageError
from pipeline.stages import Workshop
from pipeline.store.database import Database
from pipeline.store.recall import recall

log = logging.getLogger("podsift")


@click.command()
@click.option("--web/--no-web", default=None, help="Serve the pages as well (default: web.with_up).")
@click.option("--alone", is_flag=True, hidden=True, help="In this one process, without anybody who watches.")
@click.option("--lock-fd", type=int, hidden=True)
@click.pass_obj
def up(app: App, web: bool | None, alone: bool, lock_fd: int | None) -> int:
    """Keep going: poll feeds as they fall due, process episodes, send each digest at its hour. Ctrl-C stops it.

    Its parts are processes that are watched, and started again when they end.
    """
    if alone:
        _in_this_process(app, lock_fd)
        return 0
    with hold(app.settings) as lock:
        with app.database():
            pass  # the schema is brought up to date before any part starts
        pages = app.settings.web.with_up if web is None else web
        found = parts(app.settings.on_postgres, app.config, pages, lock)
        click.echo(f"podsift works on {app.settings.data_dir}; Ctrl-C ends it after the step in hand")
        return Supervisor(found, app.settings.data_dir / STATUS).run()


def _in_this_process(app: App, lock_fd: int | None) -> None:
    with hold(app.settings, lock_fd), app.database() as db:
        shop = Workshop(app.settings, db, app.clock)
        shop.sweep(app.clock.now() - pruning.FRESH if db.on_postgres else None)
        does = chores(app, db)
        gate = shop.turns.allows if shop.turns else None
        engine = open_engine(db, app.clock, shop.stages(), chores=does, gate=gate)
        try:
            with stopping(engine), _clock(app, db, engine, does) as clock:
                engine.run(until_idle=False)
            if isinstance(clock, ClockThread) and clock.error:
                raise clock.error
        finally:
            shop.close()


def chores(app: App, db: Database) -> dict[str, Callable[[], None]]:
    """What the clock asks for, by name."""
    from pipeline.feed.poll import poll_due

    def poll() -> None:
        with db.alone("poll") as mine:
            for p in poll_due(db, app.settings, app.clock) if mine else ():
                log.info("feed %s: %s", p.feed_id, p.error or p.why, extra={"feed": p.feed_id})

    def digest() -> None:
        try:
            morning(db, app.settings, app.clock, log.info)
        except UsageError as e:
            log.info("%s", e)

    return {"poll": poll, "digest": digest}


def daily(app: App, db: Database) -> list[Tick]:
    """What a clock does besides: what is to go by its age goes, what a wrong clock put off comes back,
    metrics are left for Prometheus."""

    def prune() -> None:
        gone = {name: n for name, n in pruning.prune(db, app.settings.retention, app.clock.now()).items() if n}
        if gone:
            log.info("deleted by age: %s", ", ".join(f"{n} {name}" for name, n in gone.items()))

    def bring_back() -> None:
        with db.begin() as conn:
            found = {name: n for name, n in recall(conn, app.clock.now()).items() if n}
        if found:
            told = ", ".join(f"{n} {name}" for name, n in found.items())
            log.warning("a clock was wrong: brought back from the far future: %s", told)

    file = app.settings.metrics_file
    return [(DAY_S, prune), (HOUR_S, bring_back), *([(EVERY_S, lambda: leave_metrics(app, db))] if file else [])]


def leave_metrics(app: App, db: Database) -> None:
    """Write the metrics where `metrics_file` says; a file that cannot be written is logged and stops nothing."""
    if app.settings.metrics_file is None:
        return
    from pipeline.metrics.exposition import render, write_file

    try:
        write_file(app.settings.metrics_file, render(db, app.settings, app.clock))
    except OSError as e:
        log.error("metrics_file %s cannot be written: %s", app.settings.metrics_file, e)  # noqa: TRY400 - says it all


def stopped() -> threading.Event:
    """Set by Ctrl-C and SIGTERM from now on."""
    ended = threading.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda _signal, _frame: ended.set())
    return ended


@contextmanager
def stopping(engine: Engine) -> Iterator[None]:
    """Ctrl-C and SIGTERM let the step in hand end."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        engine.stop()

    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _clock(
    app: App, db: Database, engine: Engine, does: dict[str, Callable[[], None]]
) -> AbstractContextManager[ClockThread | None]:
    return (
        ClockThread(db, app.clock, engine.stop, daily(app, db))
        if db.on_postgres
        else _local_clock(app, db, engine, does)
    )


@contextmanager
def _local_clock(app: App, db: Database, engine: Engine, does: dict[str, Callable[[], None]]) -> Iterator[None]:
    def poll() -> None:
        does["poll"]()
        engine.wake()

    clock = scheduler(app.clock, [(EVERY_S, poll), (EVERY_S, does["digest"]), *daily(app, db)])
    clock.start()
    try:
        yield
    finally:
        clock.shutdown(wait=True)
