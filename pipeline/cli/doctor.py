"""`podsift doctor`: everything a morning's digest needs, each with a result and a hint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta

import click

from pipeline.cli.shared import App, json_option, print_json
from pipeline.email.smtp import connect
from pipeline.engine.supervise import STATUS, read_status, said
from pipeline.errors import PodsiftError
from pipeline.store import channels, database, episodes, feeds, health, outbox, stage_runs, subscribers
from pipeline.store.database import Database

STUCK = timedelta(hours=6)
"""So long an episode may be able to go on, or be in hand, before something is wrong. Eight hours of audio take one."""

SILENT_S = 60.0
LYING_MIN = 10
DAY_H = 24
WRONG = timedelta(seconds=30)
"""A clock that is wrong by so much makes waits and digests late or early; machines that keep time differ by less."""
Result = tuple[str, str]
"""(`ok`, `warn`, `bad` or `off`, sentence)."""


def check_schema(app: App, db: Database) -> Result:
    return "ok", f"schema {database.version(db)} in {'PostgreSQL' if app.settings.on_postgres else 'SQLite'}"


def check_disk(app: App, _db: Database) -> Result:
    free = shutil.disk_usage(app.settings.data_dir).free
    floor = app.settings.audio.min_free_bytes
    text = f"{free / 1e9:.1f} GB free, downloads pause below {floor / 1e9:.1f} GB"
    return ("ok", text) if free > floor else ("bad", text + "; free some space")


def check_embedding(_app: App, _db: Database) -> Result:
    from pipeline import weights

    weights.minilm()
    return "ok", "MiniLM is there and is the pinned file"


def check_whisper(app: App, _db: Database) -> Result:
    from pipeline.transcript.whisper import WhisperTranscriber

    transcriber = WhisperTranscriber(app.settings.whisper, app.settings.data_dir)
    try:
        transcriber.self_test()
    finally:
        transcriber.close()
    return "ok", "Whisper reads the test clip right"


def check_llm(app: App, db: Database) -> Result:
    import asyncio
    import time

    from pipeline.insight.llm import Label, ModelFacts, open_model
    from pipeline.insight.llm_book import Book, start_of_day
    from pipeline.store import llm_calls

    if app.settings.llm.url is None:
        return "off", "no language model is set; insights are selected without one (llm.url)"
    book = Book(db, app.clock)

    async def ask() -> tuple[ModelFacts, float, float]:
        async with open_model(app.settings.llm, record=book.note, clock=app.clock) as model:
            began = time.perf_counter()
            question = "Is the sky blue on a clear day? Answer with one word, Yes or No."
            (answer,) = await model.yes_no([question], Label("doctor"))
            return model.facts, answer, time.perf_counter() - began

    try:
        facts, answer, seconds = asyncio.run(ask())
    finally:
        book.flush()
    with db.begin() as conn:
        spent = llm_calls.tokens_since(conn, start_of_day(app.clock.now()))
    most = f" of {app.settings.llm.daily_tokens:,}" if app.settings.llm.daily_tokens else ""
    context = f"{facts.context:,} tokens of context" if facts.context else "context unknown"
    server = "SGLang" if facts.server == "sglang" else "an OpenAI-compatible server"
    text = f"{facts.model} behind {server}, {context}, one question in {seconds:.1f} s, {spent:,}{most} tokens today"
    if answer <= 0:
        return "warn", text + "; it does not think that the sky is blue: serve an instruction-tuned model"
    return "ok", text


def check_smtp(app: App, _db: Database) -> Result:
    if app.settings.smtp.host is None:
        return "warn", "no mail server is set; digests are built and kept. Set smtp.host"
    connect(app.settings.smtp).quit()
    return "ok", f"{app.settings.smtp.host}:{app.settings.smtp.port} takes mail from us"


def check_domain(app: App, _db: Database) -> Result:
    from pipeline.email.domain import judged

    host = app.settings.smtp.host
    if host is None or (host in ("localhost", "127.0.0.1", "::1") and app.settings.web.base_url is None):
        return "off", "no mail leaves this machine"
    found = judged(app.settings)
    worst = next((r for r in ("bad", "warn") if any(f.result == r for f in found)), "ok")
    return worst, "; ".join(f.says for f in found if f.result == worst or worst == "ok")


def check_channels(_app: App, db: Database) -> Result:
    with db.begin(reads=True) as conn:
        rows, n = channels.listed(conn), channels.counts(conn)
    if not rows:
        return "off", "no channels; podsift channel add"
    paused = [r["name"] for r in rows if r["state"] == "paused"]
    text = ", ".join(f"{v} {k}" for k, v in sorted(n.items())) or "nothing posted yet"
    if n.get("uncertain"):
        return "bad", f"{text}; decide with podsift channel resolve"
    return ("warn", f"{text}; paused: {', '.join(paused)}") if paused or n.get("failed") else ("ok", text)


def check_feeds(app: App, db: Database) -> Result:
    with db.begin() as conn:
        rows = feeds.listed(conn)
    bad = [r for r in rows if r["error_count"] or r["state"] == "gone"]
    if not rows:
        return "warn", "no feeds; podsift feed add URL"
    text = f"{len(rows)} feeds, {len(bad)} with errors (podsift feed list)"
    if bad:
        worst = max(bad, key=lambda r: r["error_count"])
        name = worst["title"] or f"feed {worst['id']}"
        text += f"; most often {name}: {(worst['error'] or worst['state'])[:120]}"
    return ("warn" if bad else "ok"), text


def check_jobs(app: App, db: Database) -> Result:
    with db.begin() as conn:
        n = episodes.counts(conn)
        stuck = stage_runs.stuck(conn, app.clock.now() - STUCK)
    waiting = sum(n.get(s, 0) for s in episodes.WAITING)
    failed = n.get("failed", 0)
    text = f"{waiting} waiting, {failed} failed, {n.get('done', 0)} done (podsift job list)"
    if stuck:
        hours = STUCK.total_seconds() / 3600
        text += (
            f"; {len(stuck)} stuck for more than {hours:.0f} hours, the first is episode {stuck[0]}: is podsift up, "
            "podsift worker or a cron job with podsift run working?"
        )
    return ("warn" if failed or stuck else "ok"), text


def check_mail(app: App, db: Database) -> Result:
    with db.begin() as conn:
        n = outbox.counts(conn)
        held = [h for h in outbox.holds(conn) if h["until"] > app.clock.now()]
    text = ", ".join(f"{v} {k}" for k, v in sorted(n.items())) or "no mail yet"
    if held:
        why = f"{held[0]['server']} is left alone until {held[0]['until']:%H:%M} UTC: {held[0]['why']}"
        return "bad", f"{text}; {why}; podsift mail resume ends that"
    return ("bad", text + "; decide with podsift outbox resolve") if n.get("uncertain") else ("ok", text)


def check_clock(app: App, db: Database) -> Result:
    late = app.clock.now() - timedelta(minutes=10)
    with db.begin() as conn:
        people = subscribers.listed(conn)
    behind = [p.email for p in people if p.next_digest_at is not None and p.next_digest_at < late]
    if behind:
        return "warn", f"{len(behind)} digests are overdue; is podsift up (or a cron job with podsift run) working?"
    return "ok", f"{len(people)} subscribers, no digest overdue"


def check_time(app: App, db: Database) -> Result:
    """Whether this machine's clock goes right, as far as the database knows better."""
    now = app.clock.now()
    with db.begin(reads=True) as conn:
        ahead, later = health.ahead(conn, now), health.from_the_future(conn, now)
    said = []
    if ahead is not None and abs(ahead) > WRONG:
        way = "ahead of" if ahead > timedelta() else "behind"
        said.append(f"this machine's clock is {_long(abs(ahead))} {way} the database's; let ntp or chrony set it")
    if later > WRONG:
        said.append(
            f"something was noted {_long(later)} in the future: a clock was wrong, or is behind now; what it put off "
            "too far comes back within the hour"
        )
    if said:
        return "warn", "; ".join(said)
    return "ok", "nothing is dated in the future" + ("" if ahead is None else ", and the database has the same time")


def _long(span: timedelta) -> str:
    s = span.total_seconds()
    return f"{s:.0f} s" if s < 120 else f"{s / 60:.0f} min" if s < 7200 else f"{s / 3600:.0f} h"


def check_processes(app: App, db: Database) -> Result:
    """Who works on it: parts of `podsift up` that were started again, workers that are missing."""
    parts = read_status(app.settings.data_dir / STATUS)
    again = [
        f"{name} was started again {p['restarts']} times, last after {said(p['last_exit'])} at {p['last_exit_at']}"
        for name, p in parts.items()
        if p.get("restarts")
    ]
    down = [name for name, p in parts.items() if not p.get("pid")]
    if not db.on_postgres:
        if not parts:
            return "ok", "no podsift up works on this folder (fine with podsift run from cron)"
        state = "bad" if down else "warn" if again else "ok"
        return state, "; ".join([f"{', '.join(parts)} {'run' if len(parts) > 1 else 'runs'}", *again])
    from pipeline.engine.queue import STALE_S

    with db.begin(reads=True) as conn:
        alive, lying = health.workers(conn, SILENT_S), health.left_lying(conn, LYING_MIN)
        clock, failed = health.lock_held(conn, database.lock_key("clock")), health.failed_jobs(conn)
        clocks = health.sharing(conn, database.lock_key("clock present"))
        silent, begun_again = health.silent(conn, STALE_S), health.begun_again(conn, DAY_H)
    text = f"{alive} queues are listened to, a clock is {'at work' if clock else 'not at work'}"
    if clock and clocks > 1:
        text += f", {clocks - 1} more {'stands' if clocks == 2 else 'stand'} by"
    if silent:
        again.append(f"{silent} queues' workers were not heard of for {STALE_S:.0f} s: ended, hanging, or away")
    if begun_again:
        again.append(f"{begun_again} jobs were begun again in 24 hours, as their worker or the database went away")
    if failed:
        again.append(f"{failed} jobs of the queue gave up (podsift job list)")
    if lying:
        waits = ", ".join(f"{n} of {queue}" for queue, n in sorted(lying.items()))
        return "bad", f"{text}; nobody takes jobs that could run: {waits}; start podsift worker for them"
    if not clock or not alive:
        return "bad", text + "; start podsift clock and podsift worker, or podsift up"
    return ("warn" if again else "ok"), "; ".join([text, *again])


CHECKS: dict[str, Callable[[App, Database], Result]] = {
    "schema": check_schema,
    "disk": check_disk,
    "embedding": check_embedding,
    "whisper": check_whisper,
    "language model": check_llm,
    "mail server": check_smtp,
    "mail domain": check_domain,
    "channels": check_channels,
    "feeds": check_feeds,
    "jobs": check_jobs,
    "outbox": check_mail,
    "clock": check_clock,
    "time": check_time,
    "processes": check_processes,
}


@click.command()
@json_option
@click.pass_obj
def doctor(app: App, as_json: bool) -> int:
    """Check everything that a morning's digest needs. Exit code 5 when something is bad."""
    results: dict[str, dict[str, str]] = {}
    with app.database() as db:
        for name, check in CHECKS.items():
            try:
                state, text = check(app, db)
            except PodsiftError as e:
                state, text = "bad", f"{e}" + (f"; {e.hint}" if e.hint else "")
            except OSError as e:
                state, text = "bad", f"{type(e).__name__}: {e}"
            results[name] = {"result": state, "says": text}
            if not as_json:
                colour = {"ok": "green", "warn": "yellow", "bad": "red"}.get(state)
                click.echo(click.style(f"{state:5}", fg=colour) + f"{name:15} {text}")
    if as_json:
        print_json(results)
    return 5 if any(r["result"] == "bad" for r in results.values()) else 0
