"""A year of an installation, made up: how each table grows, and whether a digest takes longer at its end.

    python -m bench.year                          # 200 shows, 1.5 episodes a week each, 20 subscribers, SQLite
    python -m bench.year --days 60 --shows 50     # a short look

Every day the day's episodes are stored with transcript and insights, through the same functions as the product's
stages, then each subscriber's digest is built as in the morning (`digest.compose.build`), all in one pass. The ratio is
the median pass of the last 30 days by that of days 15 to 45, when the lookback is full; `one more` is a digest of the
pass but the first, which reads the candidates for all. At the end the morning after day 30 and the last one are built
in turn, which is the ratio to look at where others use the machine. Times are process CPU seconds. Texts and vectors
are `bench.made_up`'s.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import func, select, text

from bench import made_up
from pipeline.digest.compose import build
from pipeline.digest.past import Past
from pipeline.digest.pool import Pool
from pipeline.insight.relate import same_reason, text_key
from pipeline.records import Findings, InsightDraft, Origin, ParsedEpisode, Sentence, Transcript
from pipeline.settings import load
from pipeline.store import episodes, feeds, insights, polls, stage_runs, subscribers, transcripts
from pipeline.store.database import Database, open_url
from pipeline.store.tables import metadata, outbox

BEGIN = made_up.END - timedelta(days=365)
INSIGHTS = 8
EARLY = 29
"""The morning after this day is looked at again at the end."""


def day(db: Database, k: int, per_day: float, shows: int, sentences: int, rng: np.random.Generator) -> int:
    """Store a day's episodes; returns how many."""
    now = BEGIN + timedelta(days=k, hours=5)
    count = int(per_day * (k + 1)) - int(per_day * k)
    with db.begin() as conn:
        for e in range(count):
            n = int(per_day * k) + e
            at = now - timedelta(hours=12) + timedelta(minutes=e)
            said = tuple(
                Sentence(s, 6.0 * s, 6.0 * s + 5, made_up.sentence(rng, 16).capitalize() + ".", "Ada")
                for s in range(sentences)
            )
            parsed = ParsedEpisode(
                guid=f"g{n}",
                title=f"Number {n}: {made_up.sentence(rng, 6)}",
                published=at,
                duration_s=6.0 * sentences,
                enclosure_url=f"https://example.org/{n}.mp3",
                enclosure_type="audio/mpeg",
                enclosure_length=1,
                link=f"https://example.org/{n}",
                description=made_up.sentence(rng, 80),
            )
            i = episodes.add(conn, n % shows + 1, f"g{n}", parsed, "done", None, at)
            transcripts.save(conn, i, Transcript("en", 6.0 * sentences, said, "whisper", "base"), at)
            of = made_up.episode_ideas(rng, INSIGHTS)
            texts = [made_up.sentence(rng, 45, int(i)) for i in of]
            drafts = tuple(
                InsightDraft(made_up.sentence(rng, 8, int(i)), t, t, (0,), 0, 0, 0.0, 5.0, None, float(rng.random()))
                for i, t in zip(of, texts, strict=True)
            )
            found = Findings(Origin("selecting"), (), drafts)
            insights.save(conn, i, found, [text_key(t) for t in texts], list(made_up.vectors(INSIGHTS, n, of)), at)
            for stage in ("download", "transcribe", "extract", "relate"):
                stage_runs.add(conn, i, stage, at, 10.0, "done", 600.0)
        rows = [
            {"feed_id": f, "at": now, "status": 304, "bytes": 0, "seconds": 0.1, "new": 0, "changed": 0, "why": "-"}
            for f in range(1, shows + 1)
            for _ in range(4)
        ]
        polls.add(conn, rows)
        polls.prune(conn, now)
    return count


def digests(db: Database, k: int, settings: Any, past: Past) -> list[float]:
    """CPU seconds of each digest of the morning."""
    now = BEGIN + timedelta(days=k, hours=7)
    with db.begin() as conn:
        people = subscribers.due(conn, now)
    seconds, pool = [], Pool(now, past)
    for who in people:
        begun = time.process_time()
        with db.begin() as conn:
            build(conn, who, settings, same_reason, now, pool)
        seconds.append(time.process_time() - begun)
    with db.begin() as conn:
        conn.execute(outbox.update().values(state="sent"))
    return seconds


class TakenBackError(Exception):
    """Ends a pass without a trace."""


def again(db: Database, k: int, settings: Any, past: Past | None = None) -> float:
    """CPU seconds of the whole pass of the morning after day `k`; it is taken back. Without `past` in a new process."""
    now = BEGIN + timedelta(days=k + 1, hours=7)
    pool, begun = Pool(now, past), time.process_time()
    with suppress(TakenBackError), db.begin() as conn:
        made = [build(conn, who, settings, same_reason, now, pool) for who in subscribers.due(conn, now)]
        assert made and all(made)
        seconds = time.process_time() - begun
        raise TakenBackError
    return seconds


def compared(early: tuple[Database, int], late: tuple[Database, int], settings: Any, times: int = 15) -> str:
    """The pass of an early morning and of a late one, in turn, so that whatever else slows the machine slows both."""
    lines = []
    for way, pasts in (("by a process that goes on", (Past(), Past())), ("by a new process", (None, None))):
        moments = list(zip((early, late), pasts, strict=True))
        for (db, k), past in moments:
            again(db, k, settings, past)
        taken = [[again(db, k, settings, past) for (db, k), past in moments] for _ in range(times)]
        a, b = (1000 * median(s) for s in zip(*taken, strict=True))
        ratio = median(late_s / early_s for early_s, late_s in taken)
        lines.append(
            f"{way}: the morning after day {early[1] + 1} {a:.1f} ms, after day {late[1] + 1} {b:.1f} ms CPU, "
        )
        lines[-1] += f"{ratio:.2f} times (in turn, {times} times)"
    return "\n".join(lines)


def sizes(db: Database) -> dict[str, tuple[int, int]]:
    """Rows and bytes (with indexes) of each table."""
    with db.begin() as conn:
        pages: dict[str, int] = dict(
            conn.execute(
                text(
                    "SELECT coalesce(m.tbl_name, s.name), sum(s.pgsize) FROM dbstat s "
                    "LEFT JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
                )
            ).all()
        )
        rows = {
            t.name: int(conn.execute(select(func.count()).select_from(t)).scalar_one()) for t in metadata.sorted_tables
        }
    search = {n: (0, b) for n, b in pages.items() if n not in rows and b > 100_000}
    return {n: (rows[n], int(pages.get(n, 0))) for n in rows} | search


def told(days: list[list[float]]) -> str:
    first, more = median(d[0] for d in days), median(s for d in days for s in d[1:])
    return (
        f"pass {1000 * median(map(sum, days)):7.1f} ms, first {1000 * first:6.1f}, one more {1000 * more:5.1f} ms CPU"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--shows", type=int, default=200)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="keep the database here")
    parser.add_argument("--sentences", type=int, default=60, help="of a transcript; an hour of talk has about 600")
    given = parser.parse_args()
    rng = np.random.default_rng(2)
    with TemporaryDirectory() as temporary:
        folder = str(given.folder or temporary)
        early_path = f"{folder}/early.db"
        db = open_url(f"sqlite:///{Path(folder) / 'year.db'}")
        settings = load(
            environ={"PODSIFT_DATA_DIR": folder, "PODSIFT_SECRET_KEY": "k1:0123456789abcdef0123456789abcdef"}
        )
        with db.begin() as conn:
            for f in range(given.shows):
                feed_id, _ = feeds.add(conn, f"https://example.org/feed-{f}", BEGIN)
                feeds.change(conn, feed_id, {"title": f"Show {f}"})
            for p in range(given.people):
                subscribers.add(
                    conn,
                    {
                        "email": f"reader{p}@example.org",
                        "state": "active",
                        "time_zone": "UTC",
                        "hour": 7,
                        "minute": 0,
                        "count": 5,
                        "nonce": f"{p:032}",
                        "created_at": BEGIN,
                        "next_digest_at": BEGIN + timedelta(hours=7),
                    },
                )
        past = Past()
        per_day, total, taken = given.shows * 1.5 / 7, 0, []
        for k in range(given.days):
            total += day(db, k, per_day, given.shows, given.sentences, rng)
            taken.append(digests(db, k, settings, past))
            if k == EARLY:
                with closing(sqlite3.connect(f"{folder}/year.db")) as now, closing(sqlite3.connect(early_path)) as kept:
                    now.backup(kept)
            if k % 30 == 29:
                print(f"day {k + 1:3}: {total:6} episodes, {told(taken[-5:])}", flush=True)
        early, late = taken[15:45], taken[-30:]
        print(f"days 15 to 45: {told(early)}\nlast 30 days:  {told(late)}")
        print(f"a pass at the end takes {median(map(sum, late)) / median(map(sum, early)):.2f} times as long")
        if given.days > EARLY:
            before = open_url(f"sqlite:///{early_path}")
            print(compared((before, EARLY), (db, given.days - 1), settings))
            before.close()
        for name, (rows, size) in sorted(sizes(db).items(), key=lambda s: -s[1][1]):
            if size > 8192:
                print(f"{name:20} {rows:9,} rows {size / 1e6:9.1f} MB {size / rows if rows else 0:9.0f} bytes a row")
        db.close()


if __name__ == "__main__":
    main()
