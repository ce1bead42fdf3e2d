"""Everything in open formats, for whoever wants to leave or to look: JSON Lines, OPML, WebVTT, Markdown, mails."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, select

from pipeline.backup.manifest import private
from pipeline.clock import iso_z
from pipeline.errors import UsageError
from pipeline.feed.opml import OpmlFeed, write_opml
from pipeline.feed.private import is_secret_address
from pipeline.settings import Settings
from pipeline.store import feeds, insights, transcripts
from pipeline.store.database import Database
from pipeline.store.tables import Embedding, digest, episode, feed, metadata, outbox_message, transcript

Told = Callable[[str, int, int], None]
SECRET = {("feed", "credentials"), ("subscriber", "nonce")}
"""Columns that open something: sealed credentials, and what signs a subscriber's links."""
README = """Podsift's data, in open formats
made {made_at}

feeds.opml             the shows, for any podcast app (addresses that are secrets are left out)
tables/*.jsonl         every table, a row a line: times are UTC, vectors are lists of 384 numbers, bytes are base64
transcripts/ID.vtt     the transcript of episode ID, with speakers
episodes/ID.md         the episode with its insights and their proof, then its transcript
digests/DATE-ID.txt    each digest as it was sent; .html beside it
mails/ID.eml           each mail, byte for byte

Not here: the secret key, credentials of private feeds, what signs the links in mails, audio.
The addresses of your subscribers are here: keep it as you keep those.
"""


def export(db: Database, settings: Settings, folder: Path, now: datetime, told: Told | None = None) -> dict[str, int]:
    """Write everything below `folder`, which must be new or empty, as of one moment. Files a kind.

    Raises UsageError. Every file is readable by its owner alone.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty", hint="an export never replaces anything: give a new folder")
    for name in ("tables", "transcripts", "episodes", "digests", "mails"):
        (folder / name).mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    counts: dict[str, int] = {}
    with db.begin(snapshot=True) as conn:
        _text(folder / "README.txt", README.format(made_at=iso_z(now)))
        rows = feeds.listed(conn)
        hidden = {i for i, s in feeds.sealed(conn).items() if is_secret_address(s, settings)}
        shown = [OpmlFeed(r["url"], r["title"], tuple(r["tags"])) for r in rows if r["id"] not in hidden]
        _text(folder / "feeds.opml", write_opml(shown))
        for table in metadata.sorted_tables:
            counts[table.name] = _table(conn, table, folder / "tables" / f"{table.name}.jsonl", told)
        counts["episodes"] = _episodes(conn, folder, told)
        counts["digests"] = _digests(conn, folder)
        counts["mails"] = _mails(conn, folder)
    return counts


def _text(path: Path, text: str) -> None:
    with private(path) as f:
        f.write(text.encode("utf-8", "replace"))


def _table(conn: Connection, table: Table, path: Path, told: Told | None) -> int:
    total = int(conn.execute(select(func.count()).select_from(table)).scalar_one())
    columns = [c for c in table.columns if (table.name, c.name) not in SECRET]
    vectors = {c.name for c in columns if isinstance(c.type, Embedding)}
    query = select(*columns).order_by(*table.primary_key.columns)
    done = 0
    with private(path) as f:
        for part in conn.execution_options(yield_per=500).execute(query).mappings().partitions():
            for row in part:
                f.write(json.dumps(_plain(dict(row), vectors), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            done += len(part)
            if told:
                told(table.name, done, total)
    return done


def _plain(row: Mapping[str, Any], vectors: set[str]) -> dict[str, Any]:
    return {k: _value(v, k in vectors) for k, v in row.items()}


def _value(value: Any, vector: bool) -> Any:
    if isinstance(value, datetime):
        return iso_z(value)
    if isinstance(value, bytes):
        if not vector:
            return base64.b64encode(value).decode()
        import numpy as np

        return [round(float(x), 6) for x in np.frombuffer(value, "<f4")]
    return value


def _episodes(conn: Connection, folder: Path, told: Told | None) -> int:
    show = feed.c.title.label("show")
    query = (
        select(episode.c.id, episode.c.title, episode.c.published, episode.c.link, show)
        .join(feed, feed.c.id == episode.c.feed_id)
        .join(transcript, transcript.c.episode_id == episode.c.id)
        .order_by(episode.c.id)
    )
    rows = conn.execute(query).all()
    for n, row in enumerate(rows, 1):
        heard = transcripts.load(conn, row.id)
        _text(folder / "transcripts" / f"{row.id}.vtt", vtt(heard.sentences))
        _text(
            folder / "episodes" / f"{row.id}.md", "\n".join(_markdown(conn, dict(row._mapping), heard.sentences)) + "\n"
        )
        if told:
            told("episodes", n, len(rows))
    return len(rows)


def vtt(sentences: Any) -> str:
    """A WebVTT document of sentences, the speaker as its voice."""
    cues = []
    for s in sentences:
        voice = f"<v {_cue(s.speaker)}>" if s.speaker else ""
        cues.append(f"{s.number}\n{_stamp(s.start)} --> {_stamp(max(s.end, s.start))}\n{voice}{_cue(s.text)}\n")
    return "WEBVTT\n\n" + "\n".join(cues)


def _cue(text: str) -> str:
    # A cue ends at an empty line, and `-->` would begin one.
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def _stamp(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _markdown(conn: Connection, row: Mapping[str, Any], sentences: Any) -> Iterator[str]:
    yield f"# {_line(row['title'])}\n"
    when = row["published"].date().isoformat() if row["published"] else "no date"
    yield f"{_line(row['show'])}, {when}" + (f", <{row['link']}>" if row["link"] else "") + "\n"
    found = insights.of_episode(conn, row["id"])
    if found:
        yield "## Insights\n"
    for i in found:
        yield f"### {_line(i.title)}\n\n{_line(i.text)}\n"
        by = f" ({_line(i.speaker)})" if i.speaker else ""
        origin = " ".join(filter(None, (i.writer, i.model)))
        yield f"> {_line(i.quote)}\n\n{_stamp(i.start_s)[:8]}{by}, score {i.score:.2f}, {origin}\n"
    yield "## Transcript\n"
    for s in sentences:
        mark = f" *[{s.mark}]*" if s.mark else ""
        yield f"- {_stamp(s.start)[:8]}{f' **{_line(s.speaker)}**' if s.speaker else ''} {_line(s.text)}{mark}"


def _line(text: str | None) -> str:
    return " ".join((text or "untitled").split())


def _digests(conn: Connection, folder: Path) -> int:
    columns = (digest.c.id, digest.c.local_date, digest.c.text, digest.c.html)
    n = 0
    for row in conn.execution_options(yield_per=100).execute(select(*columns).order_by(digest.c.id)):
        n += 1
        _text(folder / "digests" / f"{row.local_date}-{row.id}.txt", row.text)
        _text(folder / "digests" / f"{row.local_date}-{row.id}.html", row.html)
    return n


def _mails(conn: Connection, folder: Path) -> int:
    n = 0
    query = select(outbox_message.c.outbox_id, outbox_message.c.message).order_by(outbox_message.c.outbox_id)
    for row in conn.execution_options(yield_per=100).execute(query):
        if row.message:
            n += 1
            with private(folder / "mails" / f"{row.outbox_id}.eml") as f:
                f.write(row.message)
    return n
