"""The one table of stages, and what each does for an episode.

A stage is a function of an episode id, runs outside a transaction and may run again: it returns what to write, and
`engine.step` writes that together with the move of the stage column.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pipeline import transport
from pipeline.audio import download, probe, retain
from pipeline.clock import Clock
from pipeline.engine.gpu_turns import GpuTurns
from pipeline.engine.step import Done, Stage
from pipeline.errors import PermanentError, PodsiftError, WaitingError
from pipeline.feed import private
from pipeline.feed.chapters import fetch_chapters
from pipeline.feed.private import Credentials
from pipeline.insight.base import Writer
from pipeline.insight.gpus import gpus
from pipeline.insight.relate import meanings, text_key
from pipeline.insight.standing import COMPARED, NEIGHBOURS, compared, judged
from pipeline.insight.toolbox import Toolbox
from pipeline.insight.tuned import FILE as TUNED_RANKER
from pipeline.records import Dropped, EpisodeContext, Findings
from pipeline.settings import Settings
from pipeline.store import budget, episodes, feeds, insights, links, matches, transcripts
from pipeline.store.database import Database
from pipeline.transcript import repeat, structure
from pipeline.transcript.base import Transcriber
from pipeline.transcript.choose import transcript_of
from pipeline.transcript.pool import Pool

log = logging.getLogger(__name__)
Progress = Callable[[str, int, float], None]
"""(stage, episode id, share done 0..1)."""


@dataclass
class Workshop:
    """What the stages work with. Models are loaded when a stage first needs them."""

    settings: Settings
    db: Database
    clock: Clock
    progress: Progress | None = None

    def __post_init__(self) -> None:
        self._loading = threading.Lock()

    @cached_property
    def transcriber(self) -> Transcriber:
        return Pool(self.settings.whisper, self.settings.data_dir, max_hours=self.settings.audio.max_hours)

    @cached_property
    def toolbox(self) -> Toolbox:
        tuned = self.settings.data_dir / TUNED_RANKER
        return Toolbox(self.settings.llm, db=self.db, clock=self.clock, tuned=tuned)

    @property
    def audio_dir(self) -> Path:
        return self.settings.data_dir / "audio"

    @cached_property
    def hears_on_gpu(self) -> bool:
        """Whether Whisper runs on a GPU here."""
        device = self.settings.whisper.device
        return device == "cuda" or (device == "auto" and bool(gpus()))

    def stages(self) -> tuple[Stage, ...]:
        """The table: name, function, next stage, slots, retries."""
        return (
            Stage("download", partial(download_audio, self), "transcribe", slots=4, retries=4),
            Stage("transcribe", partial(transcribe, self), "extract", slots=self.settings.whisper.slots, retries=3),
            Stage("extract", partial(extract, self), "relate", slots=1, retries=3),
            Stage("relate", partial(relate, self), "done", slots=1, retries=3),
        )

    def sweep(self, older_than: datetime | None = None) -> int:
        """Delete audio that no episode needs any more: what a crash left between commit and deletion.

        Beside others who work in the same folder, only files that are `older_than`.
        """
        with self.db.begin() as conn:
            wanted = episodes.audio_wanted(conn)
        return retain.sweep(self.audio_dir, wanted, older_than)

    @cached_property
    def turns(self) -> GpuTurns | None:
        """Whose turn the one GPU is, where two models share it."""
        llm = self.settings.llm
        if not llm.share_gpu or not llm.urls:
            return None
        return GpuTurns(self.db, self.clock, llm, self.end_whisper)

    def end_whisper(self) -> None:
        """End Whisper's process; the next episode starts it again."""
        if "transcriber" in self.__dict__:
            self.transcriber.close()

    def close(self) -> None:
        """End child processes, and leave a shared GPU to the language model."""
        self.end_whisper()
        if "turns" in self.__dict__ and self.turns is not None:
            self.turns.close()

    def row(self, episode_id: int) -> dict[str, Any]:
        with self.db.begin() as conn:
            return episodes.get(conn, episode_id)

    def credentials(self, row: dict[str, Any]) -> Credentials | None:
        """What opens the feed of an episode row, when it is a private one. Raises ConfigError."""
        with self.db.begin() as conn:
            sealed = feeds.credentials(conn, row["feed_id"])
        return None if sealed is None else private.unseal(sealed, self.settings)

    def take_up(self, episode_id: int) -> None:
        """Count an episode's audio against the day's hours. Raises WaitingError when they are used up."""
        hours, now = self.settings.audio.daily_hours, self.clock.now()
        if not hours:
            return
        with self.db.begin() as conn:
            verdict = budget.take_up(conn, episode_id, hours, now)
        if not verdict.admitted:
            wait = (verdict.ask_at - now).total_seconds() if verdict.ask_at else None
            raise WaitingError(verdict.reason, retry_after_s=wait)

    def tell(self, stage: str, episode_id: int, share: float) -> None:
        if self.progress:
            self.progress(stage, episode_id, min(max(share, 0.0), 1.0))


def download_audio(shop: Workshop, episode_id: int) -> Done:
    """Fetch the audio, hash it, read its duration; the chapters too. Waits when the day's audio hours are used up."""
    row = shop.row(episode_id)
    shop.take_up(episode_id)
    opened = shop.credentials(row)
    target = shop.audio_dir / str(episode_id)
    with transport.client(shop.settings.feed) as client, private.hiding(row["enclosure_url"] if opened else None):
        got = download.download(
            client,
            private.with_auth(row["enclosure_url"], opened),
            target,
            shop.settings.audio,
            progress=lambda n, total: shop.tell("download", episode_id, n / total if total else 0.0),
        )
    facts = probe.probe(got.path, max_hours=shop.settings.audio.max_hours)
    values = {
        "audio_path": str(got.path),
        "audio_sha256": got.sha256,
        "audio_bytes": got.bytes,
        "audio_s": facts.duration_s,
    } | chapters_of(shop, row, opened)
    return Done(lambda conn: episodes.note(conn, episode_id, values))


def chapters_of(shop: Workshop, row: dict[str, Any], opened: Credentials | None) -> dict[str, Any]:
    """The column of chapters that the episode's own document gives; without one the feed's stay."""
    if not row["chapters_url"]:
        return {}
    try:
        with transport.client(shop.settings.feed) as client, private.hiding(row["chapters_url"] if opened else None):
            found = fetch_chapters(client, private.with_auth(row["chapters_url"], opened))
    except PodsiftError as e:
        log.info("episode %s goes without its chapters: %s", row["id"], e)
        return {}
    return {"chapters": [asdict(c) for c in found]} if found else {}


def transcribe(shop: Workshop, episode_id: int) -> Done:
    """The publisher's transcript when it is good, else Whisper's. Audio goes once the transcript is committed."""
    row = shop.row(episode_id)
    if not _has_audio(row):
        # Another machine downloaded it, or somebody cleaned up: fetched again, as the text is bound to the bytes.
        again = download_audio(shop, episode_id)
        with shop.db.begin() as conn:
            again.write(conn)
        row = shop.row(episode_id)
    path = Path(row["audio_path"])
    made = transcript_of(shop, row)
    if not made.sentences:
        raise PermanentError("No speech was found in this episode", episode=episode_id)
    with shop.db.begin() as conn:
        earlier = repeat.earlier(transcripts.siblings(conn, episode_id))
    sentences, windows = structure.mark(
        made.sentences,
        duration_s=made.duration_s,
        chapters=episodes.chapters(row),
        embedder=shop.toolbox.embedder,
        earlier=earlier,
        ask=shop.toolbox.adverts,
    )
    made = replace(made, sentences=sentences, audio_sha256=row["audio_sha256"])
    now = shop.clock.now()

    def write(conn: Connection) -> None:
        transcripts.save(conn, episode_id, made, now, windows)
        if not shop.settings.audio.keep:
            episodes.note(conn, episode_id, {"audio_path": None})

    after = None if shop.settings.audio.keep else lambda: path.unlink(missing_ok=True)
    return Done(write, after, made.duration_s, gpu=made.source == "whisper" and shop.hears_on_gpu)


def _has_audio(row: dict[str, Any]) -> bool:
    """Whether this machine has the very bytes that were noted; an earlier try may have left others in their place."""
    path = Path(row["audio_path"] or "")
    if not row["audio_path"] or not path.is_file():
        return False
    if row["audio_bytes"] is None:
        return True
    if path.stat().st_size != row["audio_bytes"]:
        return False
    with path.open("rb") as f:
        return bool(hashlib.file_digest(f, "sha256").hexdigest() == row["audio_sha256"])


def context_of(row: dict[str, Any]) -> EpisodeContext:
    """What a writer may know of an episode row."""
    return EpisodeContext(row["show"], row["title"], row["description"], episodes.persons(row), row["published"])


def extract(shop: Workshop, episode_id: int) -> Done:
    """Find the insights, prove them, store them with their vectors."""
    row = shop.row(episode_id)
    with shop.db.begin() as conn:
        transcript = transcripts.load(conn, episode_id)
    writer: Writer = shop.toolbox.writer()
    if transcript.poor:
        # Proof taken from what was misheard proves nothing.
        found = Findings(writer.origin, (), (), (Dropped("poor transcript", transcript.poor),))
    else:
        found = writer.find(transcript, context_of(row))
    texts = [d.text for d in found.insights]
    vectors = meanings(shop.toolbox.embedder, texts) if texts else []
    keys = [text_key(t) for t in texts]
    now = shop.clock.now()

    def write(conn: Connection) -> None:
        insights.save(conn, episode_id, found, keys, vectors, now)

    return Done(write, audio_s=transcript.duration_s, gpu=found.origin.writer == "moe")


def relate(shop: Workshop, episode_id: int) -> Done:
    """Say how each insight stands to earlier ones and to the day's best, so that no digest has to ask."""
    now, judge = shop.clock.now(), shop.toolbox.judge
    with shop.db.begin(reads=True) as conn:
        near = links.neighbours(conn, episode_id, gate=judge.gate, k=NEIGHBOURS, since=now - COMPARED)
    found = list(judged(judge, near))
    since = now - timedelta(days=shop.settings.digest.lookback_days)
    wins, asked = compared(shop.db, shop.toolbox.comparer, episode_id, since)

    def write(conn: Connection) -> None:
        links.replace(conn, episode_id, found, now)
        matches.save(conn, wins, asked, now)

    return Done(write, gpu=bool(near) and shop.settings.llm.url is not None)
