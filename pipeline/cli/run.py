"""`podsift run`: one pass, for cron."""

from __future__ import annotations

import click

from pipeline.backup import prune as pruning
from pipeline.cli.progress import Bars
from pipeline.cli.shared import App, console
from pipeline.cli.up import leave_metrics
from pipeline.digest.work import morning
from pipeline.engine.lock import hold
from pipeline.engine.open import open_engine
from pipeline.stages import Workshop
from pipeline.store import episodes


@click.command()
@click.pass_obj
def run(app: App) -> int:
    """One pass: poll what is due, process what waits, build and send the digests that are due, exit."""
    from pipeline.feed.poll import poll_due

    with hold(app.settings), app.database() as db:
        polled = poll_due(db, app.settings, app.clock)
        bad = [p for p in polled if p.error]
        click.echo(f"feeds polled {len(polled)}, new episodes {sum(p.new for p in polled)}, errors {len(bad)}")
        for p in bad:
            click.echo(f"  feed {p.feed_id} {p.title or ''}: {p.error}", err=True)
        with db.begin() as conn:
            titles = {r["id"]: r["title"] or "" for r in episodes.listed(conn, limit=10_000)}
        bars = Bars(console, titles)
        shop = Workshop(app.settings, db, app.clock, bars.share)
        shop.sweep(app.clock.now() - pruning.FRESH if db.on_postgres else None)
        gate = shop.turns.allows if shop.turns else None
        try:
            with bars.progress:
                open_engine(db, app.clock, shop.stages(), bars.report, gate=gate).run(until_idle=True)
        finally:
            shop.close()
        failed = [o for o in bars.outcomes if o[2] == "failed"]
        done = sum(1 for o in bars.outcomes if o[0] == "relate" and o[2] == "done")
        waits = len({o[1] for o in bars.outcomes if o[2] == "waits"})
        said = f", waiting {waits} (podsift job list says for what)" if waits else ""
        click.echo(f"episodes finished {done}, failed {len(failed)}{said}")
        pruning.prune(db, app.settings.retention, app.clock.now())
        built, sent = morning(db, app.settings, app.clock, click.echo)
        leave_metrics(app, db)
        return 5 if bad or failed or built.failed or sent.failed or sent.uncertain else 0
