"""Made-up episodes: what is said in number N, its audio, and its place in a feed. The same on every side."""

from __future__ import annotations

import io
import random
import wave
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

STEP_S = 5.0
RATE = 1000
PLACES = (
    *(
        "Aldona",
        "Berrow",
        "Calder",
        "Dunmere",
        "Eskby",
        "Farrow",
        "Galton",
        "Helm",
        "Irton",
        "Jarrow",
        "Kelby",
        "Lorne",
    ),
)
THINGS = (
    *("bakery", "foundry", "library", "nursery", "orchard", "ferry", "clinic", "harbour", "depot", "workshop", "mill"),
)
DEEDS = ("moved the night shift", "measured every delay", "asked the youngest first", "wrote each promise down")
GOODS = ("bread", "letters", "engines", "seedlings", "tickets", "invoices", "bandages", "barrels", "maps", "bricks")
LESSONS = (
    "So the lesson is that a {thing} loses more {good} by what it does not count than by what it does wrong.",
    "Nobody had been lazy: the {good} broke because two people at the {thing} each thought that the other one checked.",
    "What a {thing} promises about its {good} out loud gets kept, and what it only plans is forgotten by Friday.",
)
POISON, BROKEN = "poison", "broken"
"""Kinds of episodes that can only fail: one whose transcription ends its process, one whose audio is none."""


def kind(n: int) -> str | None:
    """What is wrong with episode `n`."""
    return POISON if n % 97 == 41 else BROKEN if n % 89 == 23 else None


def lines(n: int) -> list[str]:
    """The sentences of episode `n`, one every STEP_S."""
    rng = random.Random(n)
    said = ["Welcome back, and thank you for being here with us again today."]
    for lesson in LESSONS:
        place, thing, deed, good = (rng.choice(x) for x in (PLACES, THINGS, DEEDS, GOODS))
        a, b, c = rng.randint(40, 900), rng.randint(3, 39), rng.randint(2, 11)
        said += [
            f"In {place} the {thing} number {n} {deed} because {a} {good} came back broken every single week.",
            f"After {c} months only {b} came back, which nobody who ran the {thing} had thought was possible at all.",
            lesson.format(thing=thing, good=good),
            "Right, and that is how the week went for most of us at the bench.",
        ]
    return [*said, "Thank you so much for coming, and see you all again next week."]


def duration_s(n: int) -> float:
    return STEP_S * len(lines(n))


def audio(n: int) -> bytes:
    """A small WAV whose first samples say which episode it is."""
    if kind(n) == BROKEN:
        return b"<html>this is no audio</html>" * 40
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(1)
        w.setframerate(RATE)
        w.writeframes(f"{n:08}".encode() + b"\x80" * (int(duration_s(n) * RATE) - 8))
    return out.getvalue()


def number(path: Path) -> int:
    """Which episode a stored file is."""
    with wave.open(str(path), "rb") as w:
        return int(w.readframes(8))


def vtt(n: int) -> str:
    cues = [f"{stamp(STEP_S * k)} --> {stamp(STEP_S * k + 4.5)}\n{text}\n" for k, text in enumerate(lines(n))]
    return "WEBVTT\n\n" + "\n".join(cues)


def stamp(seconds: float) -> str:
    return f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}:{seconds % 60:06.3f}"


def has_transcript(n: int) -> bool:
    """Every second one comes with its publisher's transcript."""
    return n % 2 == 0 and kind(n) is None


def feed(k: int, numbers: list[int], base: str) -> bytes:
    """Feed `k` with these episodes, newest first, an hour apart."""
    now = datetime.now(UTC).replace(microsecond=0)
    items = []
    for place, n in enumerate(sorted(numbers, reverse=True)):
        link = f'<podcast:transcript url="{base}/t/{n}.vtt" type="text/vtt"/>' if has_transcript(n) else ""
        at = format_datetime(now - timedelta(minutes=place + 1))
        items.append(
            f"<item><title>Number {n} of show {k}: {lines(n)[1][:40]}</title><guid>{n}</guid><pubDate>{at}</pubDate>"
            f'<enclosure url="{base}/a/{n}.wav" type="audio/wav" length="1"/>{link}</item>'
        )
    return (
        '<?xml version="1.0"?><rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0">'
        f"<channel><title>Show {k}</title><link>{base}</link><description>made up</description>"
        f"<language>en</language>{''.join(items)}</channel></rss>"
    ).encode()
