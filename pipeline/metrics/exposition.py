"""Metrics for Prometheus, worked out of the database when they are asked for.

Many processes on many machines do the work, and each may end at any time, so no counter lives in a process: what
happened is counted over the last 24 hours (`podsift_day_*`, gauges) from the rows that each step leaves.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from pipeline import __version__
from pipeline.clock import Clock
from pipeline.errors import PodsiftError
from pipeline.metrics.served import Served, gpu_states, look
from pipeline.settings import Settings
from pipeline.store import day_figures, episodes, figures, outbox
from pipeline.store.database import Database
from pipeline.store.tables import insight_drop

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WINDOW = timedelta(hours=24)
REASONS = 30
"""Most frequent reasons of dropping that are shown; a reason's words end at its first colon."""
QUANTILES = (0.5, 0.95, 1.0)


def render(db: Database, settings: Settings, clock: Clock, *, ask_servers: bool = True) -> bytes:
    """The text of all metrics. Never raises: a database that is away is `podsift_up 0`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(db, settings, clock, ask_servers))
    return generate_latest(registry)


def write_file(path: Path, text: bytes) -> None:
    """Replace a textfile whole, readable by all, as node_exporter runs as another user. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as f:
        try:
            f.write(text)
            f.flush()
            os.fchmod(f.fileno(), 0o644)
            Path(f.name).replace(path)
        except BaseException:
            Path(f.name).unlink(missing_ok=True)
            raise


class _Collector(Collector):
    def __init__(self, db: Database, settings: Settings, clock: Clock, ask_servers: bool):
        self._db, self._settings, self._clock, self._ask = db, settings, clock, ask_servers

    def collect(self) -> Iterator[Metric]:
        yield _gauge("info", "Which podsift this is.", ("version", "database"), {self._kind(): 1})
        up = GaugeMetricFamily("podsift_up", "Whether the database answered.")
        try:
            with self._db.begin(reads=True) as conn:
                found = list(self._from_database(conn))
        except (PodsiftError, SQLAlchemyError):
            up.add_metric([], 0)
            found = []
        else:
            up.add_metric([], 1)
        yield up
        yield from found
        yield from self._machine()
        if self._ask:
            yield from _served([look(url, self._settings.llm) for url in self._settings.llm.urls])
            yield from _gpus()

    def _kind(self) -> tuple[str, str]:
        return __version__, "postgresql" if self._db.on_postgres else "sqlite"

    def _from_database(self, conn: Connection) -> Iterator[Metric]:
        now = self._clock.now()
        since = now - WINDOW
        staged = dict.fromkeys(episodes.STAGES, 0) | episodes.counts(conn)
        yield _gauge("episodes", "Episodes at each stage.", ("stage",), staged)
        help_ = "How long the oldest episode has waited at each stage."
        yield _gauge("queue_oldest_seconds", help_, ("stage",), day_figures.queue_ages(conn, now))
        yield from _stages(day_figures.stage_seconds(conn, since))
        yield from _day(day_figures.days(conn, since))
        reasons: dict[str, int] = {}
        query = select(insight_drop.c.reason, func.count()).where(insight_drop.c.at >= since)
        for reason, n in conn.execute(
            query.group_by(insight_drop.c.reason).order_by(func.count().desc()).limit(REASONS)
        ):
            short = str(reason).partition(":")[0][:60]
            reasons[short] = reasons.get(short, 0) + int(n)
        yield _gauge("day_dropped", "Candidates dropped in 24 hours, by reason.", ("reason",), reasons)
        mails = dict.fromkeys(outbox.STATES, 0) | outbox.counts(conn)
        yield _gauge("mails", "Mails in each state.", ("state",), mails)
        help_ = "How long the oldest mail has been in each state that is not over."
        yield _gauge("mail_oldest_seconds", help_, ("state",), day_figures.mail_ages(conn, now))
        held = [h for h in outbox.holds(conn) if h["until"] > now]
        yield _gauge("mail_servers_held", "Mail servers that are left alone for now.", (), {(): len(held)})
        feeds = figures.feed_states(conn)
        failing = feeds.pop("failing")
        yield _gauge("feeds", "Feeds by state.", ("state",), feeds)
        yield _gauge("feeds_failing", "Active feeds whose last poll failed.", (), {(): failing})
        yield _gauge("subscribers", "Subscribers by state.", ("state",), figures.subscriber_states(conn))
        n, age = day_figures.overdue(conn, now)
        yield _gauge("digests_overdue", "Digests that are due and not made.", (), {(): n})
        yield _gauge("digest_overdue_seconds", "For how long the oldest one is due.", (), {(): age})
        queued = day_figures.jobs(conn)
        yield _gauge("jobs", "Jobs of the queue (PostgreSQL), finished ones left out.", ("queue", "status"), queued)

    def _machine(self) -> Iterator[Metric]:
        folder = self._settings.data_dir
        if folder.is_dir():
            disk = shutil.disk_usage(folder)
            sizes = {"free": disk.free, "total": disk.total}
            yield _gauge("disk_bytes", "The disk of the data folder.", ("kind",), sizes)
            audio = folder / "audio"
            kept = sum(p.stat().st_size for p in audio.iterdir() if p.is_file()) if audio.is_dir() else 0
            yield _gauge("audio_bytes", "Audio in the data folder.", (), {(): kept})


def _gauge(name: str, help_: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"podsift_{name}", help_, labels=labels)
    for key, value in values.items():
        family.add_metric([str(k) for k in (key if isinstance(key, tuple) else (key,))], value)
    return family


def _stages(seconds: Mapping[tuple[str, str], list[float]]) -> Iterator[Metric]:
    runs = {key: len(found) for key, found in seconds.items()}
    yield _gauge("day_stage_runs", "Runs of each stage in 24 hours, by outcome.", ("stage", "outcome"), runs)
    total = {key: sum(found) for key, found in seconds.items()}
    yield _gauge("day_stage_seconds", "Seconds they took together.", ("stage", "outcome"), total)
    at: dict[tuple[str, str], float] = {}
    for (stage, outcome), found in seconds.items():
        if outcome == "done":
            at |= {(stage, f"{q:g}"): found[min(len(found) - 1, int(q * len(found)))] for q in QUANTILES}
    yield _gauge(
        "day_stage_quantile_seconds", "Of the runs that were done: median, 95 %, longest.", ("stage", "share"), at
    )


def _day(days: Sequence[day_figures.Day]) -> Iterator[Metric]:
    both = day_figures.added(days)
    told = {
        "day_episodes": ("Episodes that went the whole way in 24 hours.", both.episodes),
        "day_audio_seconds": ("Seconds of audio transcribed in 24 hours.", 3600 * both.audio_hours),
        "day_insights": ("Insights found in 24 hours.", both.insights),
        "day_proof_rate": ("Share of the candidates that stood their proof in 24 hours.", both.proof_rate),
        "day_gpu_seconds": ("Seconds of stages that a GPU worked on in 24 hours.", both.gpu_s),
        "day_tokens": ("Tokens of the language model in 24 hours.", both.tokens),
        "day_real_time_factor": ("Seconds Whisper took for a second of audio in 24 hours.", both.real_time_factor),
    }
    for name, (help_, value) in told.items():
        yield _gauge(name, help_, (), {} if value is None else {(): value})


def _served(found: Sequence[Served]) -> Iterator[Metric]:
    ups = {s.url: float(s.up) for s in found}
    yield _gauge("llm_up", "Whether a language model's server is ready.", ("server",), ups)
    loads = {(s.url, name): value for s in found for name, value in s.loads.items()}
    yield _gauge("llm_load", "What SGLang's /v1/loads says of it.", ("server", "of"), loads)
    families: dict[str, Metric] = {}
    for s in found:
        for f in s.families:
            mine = families.setdefault(f.name, Metric(f.name, f.documentation, f.type))
            for sample in f.samples:
                mine.add_sample(sample.name, dict(sample.labels) | {"server": s.url}, sample.value)
    yield from families.values()


def _gpus() -> Iterator[Metric]:
    states = gpu_states()
    memory = {(g.index, g.name, kind): v for g in states for kind, v in (("used", g.used), ("total", g.total))}
    yield _gauge("gpu_memory_bytes", "Memory of each GPU.", ("gpu", "name", "kind"), memory)
    busy = {(g.index, g.name): g.busy for g in states if g.busy is not None}
    yield _gauge("gpu_busy", "Share of time in which each GPU worked.", ("gpu", "name"), busy)
