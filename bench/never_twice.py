"""Days of digests over real transcripts with planted repeats: does anything reach a subscriber twice?

    python bench/never_twice.py ../shared                 # 30 days, all transcripts
    python bench/never_twice.py ../shared --days 8 --transcripts 10

Each day brings two new episodes and, from the third day on, repeats of earlier ones: a rerun (the same episode again,
another guid), a premium twin (the same words under another show) and another recognition (the same talk with every
tenth to every thirtieth word heard otherwise). Everything goes the product's own way: selecting writer, relate stage,
digest. A repeat "reaches" the subscriber when two insights of their digests come from overlapping sentences of one
talk, whichever copy they were taken from. Beside it stand the same days without any comparison.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.digest.select import select
from pipeline.engine.step import step
from pipeline.insight.base import Writer
from pipeline.insight.relate import meanings, same_reason, text_key
from pipeline.insight.toolbox import Toolbox
from pipeline.records import EpisodeContext, Findings, ParsedEpisode, Sentence, StoredInsight, Transcript
from pipeline.settings import Settings, load
from pipeline.stages import Workshop
from pipeline.store import digests, episodes, feeds, insights, subscribers, transcripts
from pipeline.store.database import Database, open_database
from pipeline.store.insights import Vector
from pipeline.transcript.make import read_podcast_json

BEGIN = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
FRESH_A_DAY = 2


@dataclass(frozen=True)
class Copy:
    """An episode as it airs: which talk it is, and what is planted with it (None for the first airing)."""

    talk: str
    show: str
    plant: str | None
    transcript: Transcript


@dataclass(frozen=True)
class Outcome:
    """What the days brought."""

    days: int
    episodes: int
    planted: dict[str, int]
    mails: int
    sent: int
    reached: dict[str, int]
    """By kind of plant: insights that a subscriber got twice."""
    control: dict[str, int]
    """The same, had nothing been compared with what was sent before."""


def misheard(transcript: Transcript, every: int, rng: random.Random) -> Transcript:
    """The same talk from another recogniser: about every n-th word replaced, dropped or doubled; sentences stay."""
    words = [w for s in transcript.sentences for w in s.text.split()]

    def hear(s: Sentence) -> Sentence:
        heard: list[str] = []
        for word in s.text.split():
            if rng.random() >= 1 / every:
                heard.append(word)
                continue
            kind = rng.randrange(3)
            heard += [rng.choice(words)] if kind == 0 else [] if kind == 1 else [word, word]
        return replace(s, text=" ".join(heard) or s.text)

    return replace(transcript, sentences=tuple(hear(s) for s in transcript.sentences))


def plan(talks: Sequence[tuple[str, Transcript]], days: int, seed: int) -> list[list[Copy]]:
    """What airs on each day."""
    rng = random.Random(seed)
    order = list(talks)
    rng.shuffle(order)
    aired: list[tuple[str, Transcript]] = []
    calendar: list[list[Copy]] = []
    for day in range(days):
        today = []
        for name, transcript in order[day * FRESH_A_DAY : (day + 1) * FRESH_A_DAY]:
            today.append(Copy(name, name.rsplit("-", 1)[0], None, transcript))
        if day >= 2 and aired:
            for plant in ("rerun", "twin", "misheard"):
                name, transcript = rng.choice(aired)
                show = name.rsplit("-", 1)[0]
                if plant == "twin":
                    show += " (premium)"
                if plant == "misheard":
                    show, transcript = show + " (another feed)", misheard(transcript, rng.choice((10, 20, 30)), rng)
                today.append(Copy(name, show, plant, transcript))
        aired += [(c.talk, c.transcript) for c in today if c.plant is None]
        calendar.append(today)
    return calendar


def run(shared: Path, days: int, most: int | None, seed: int = 7, say: Callable[[str], None] = print) -> Outcome:
    """Live through the days in a database of their own."""
    paths = sorted((shared / "transcripts").glob("*.json"))
    paths = [p for p in paths if p.name != "index.json"]
    if most is not None:
        paths = sorted(paths, key=lambda p: p.stat().st_size)[:most]
    calendar = plan([(p.stem, read_podcast_json(p)) for p in paths], days, seed)
    toolbox = Toolbox()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.toml").write_text("")
        settings = load(environ={"PODSIFT_CONFIG": f"{folder}/t.toml", "PODSIFT_DATA_DIR": f"{folder}/data"})
        db = open_database(settings)
        try:
            return _live(db, settings, toolbox, calendar, say)
        finally:
            db.close()


def _live(
    db: Database, settings: Settings, toolbox: Toolbox, calendar: Sequence[Sequence[Copy]], say: Callable[[str], None]
) -> Outcome:
    origin: dict[int, Copy] = {}
    with db.begin() as conn:
        subscribers.add(conn, _reader())
    planted: dict[str, int] = defaultdict(int)
    found: dict[int, Findings] = {}
    control: list[list[StoredInsight]] = []
    for day, today in enumerate(calendar):
        clock = FixedClock(BEGIN + timedelta(days=day))
        relate = next(s for s in Workshop(settings, db, clock).stages() if s.name == "relate")
        for n, copy in enumerate(today):
            findings = found.get(id(copy.transcript)) or _find(toolbox.selecting, copy.transcript)
            found[id(copy.transcript)] = findings
            with db.begin() as conn:
                episode_id = _air(conn, copy, f"{day}-{n}", findings, toolbox, clock.now())
            origin[episode_id] = copy
            if copy.plant:
                planted[copy.plant] += 1
            assert step(db, clock, relate, episode_id) == "done"
        with db.begin() as conn:
            (who,) = subscribers.listed(conn)
            at = clock.now() + timedelta(hours=2)
            made = build(conn, who, settings, same_reason, at)
            blind = select(insights.candidates(conn, at - timedelta(days=1), at), [], who.count, 0.0, _never)
            control.append([c.insight for c in blind.chosen])
        say(f"day {day + 1}: {len(today)} episodes, digest {made or 'none'}")
    with db.begin() as conn:
        rows = sorted(digests.listed(conn, limit=1000), key=lambda r: r["id"])
        mails = [insights.of_digest(conn, r["id"]) for r in rows]
    sent = sum(len(m) for m in mails)
    twice, blindly = _twice(mails, origin, say), _twice(control, origin)
    return Outcome(len(calendar), len(origin), dict(planted), len(mails), sent, twice, blindly)


def _twice(
    mails: Sequence[Sequence[StoredInsight]], origin: dict[int, Copy], say: Callable[[str], None] | None = None
) -> dict[str, int]:
    """By kind of plant, how often it came again; each told to `say`."""
    reached: dict[str, int] = defaultdict(int)
    had: dict[str, list[StoredInsight]] = defaultdict(list)
    for i in (i for mail in mails for i in mail):
        copy = origin[i.episode_id]
        again = next((o for o in had[copy.talk] if min(i.last, o.last) >= max(i.first, o.first)), None)
        if again is not None:
            reached[copy.plant or "first airing"] += 1
            if say is not None:
                say(f"{copy.talk}, {copy.plant}:\n  first: {again.text}\n  again: {i.text}")
        had[copy.talk].append(i)
    return dict(reached)


def _never(_a: str, _va: Vector | None, _b: str, _vb: Vector | None) -> str | None:
    return None


def _find(writer: Writer, transcript: Transcript) -> Findings:
    return writer.find(transcript, EpisodeContext())


def _air(conn: Connection, copy: Copy, guid: str, found: Findings, toolbox: Toolbox, now: datetime) -> int:
    feed_id, _ = feeds.add(conn, f"https://example.org/{text_key(copy.show)}.xml", now)
    feeds.change(conn, feed_id, {"title": copy.show})
    parsed = ParsedEpisode(
        guid=guid,
        title=f"{copy.talk} {guid}",
        published=now,
        duration_s=copy.transcript.duration_s,
        enclosure_url=f"https://example.org/{guid}.mp3",
        enclosure_type="audio/mpeg",
        enclosure_length=None,
        link=None,
    )
    episode_id = episodes.add(conn, feed_id, guid, parsed, "relate", None, now)
    transcripts.save(conn, episode_id, copy.transcript, now)
    texts = [d.text for d in found.insights]
    vectors = meanings(toolbox.embedder, texts)
    insights.save(conn, episode_id, found, [text_key(t) for t in texts], vectors, now)
    return episode_id


def _reader() -> dict[str, object]:
    return {
        "email": "reader@example.org",
        "state": "active",
        "time_zone": "UTC",
        "hour": 6,
        "minute": 0,
        "count": 5,
        "nonce": "n" * 32,
        "created_at": BEGIN,
        "next_digest_at": BEGIN,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--transcripts", type=int, help="only so many, the shortest")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    o = run(args.shared, args.days, args.transcripts, args.seed)
    print(f"\n{o.days} days, {o.episodes} episodes, {o.mails} mails, {o.sent} insights")
    print(f"{'plant':14}{'episodes':>9}{'reached twice':>15}{'not compared':>14}")
    aired = o.planted | {"first airing": o.episodes - sum(o.planted.values())}
    for plant, n in aired.items():
        print(f"{plant:14}{n:>9}{o.reached.get(plant, 0):>15}{o.control.get(plant, 0):>14}")


if __name__ == "__main__":
    main()
