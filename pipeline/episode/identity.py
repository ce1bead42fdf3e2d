"""Which parsed episode is which stored one: pure, in the order guid, enclosure, title and day.

Never by URL alone where guids stay: of one real pair of snapshots 43 of 43 guids stayed while every enclosure changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.records import ParsedEpisode

SAME_DURATION_S = 600


@dataclass(frozen=True, slots=True)
class StoredEpisodeKey:
    """What identity needs of a stored episode."""

    id: int
    key: str
    guid: str | None
    enclosure_url: str
    enclosure_type: str | None
    title: str | None
    published: datetime | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class EpisodeIntent:
    """`insert` under `key`, `update` of `id`, or `unchanged`."""

    action: str
    episode: ParsedEpisode
    key: str | None = None
    id: int | None = None


def own_key(e: ParsedEpisode) -> str:
    """The key an episode asks for: verbatim guid, else link, else enclosure URL."""
    return e.guid or e.link or e.enclosure_url


def match(parsed: Sequence[ParsedEpisode], stored: Sequence[StoredEpisodeKey]) -> list[EpisodeIntent]:
    """An intent for each parsed episode, in order. No stored episode is taken twice, none is deleted."""
    keys: list[str] = []
    for e in parsed:
        key = own_key(e)
        # Of a repeated guid the first is stable; a later one is told apart by its address.
        keys.append(key if key not in keys else f"{key}|{e.enclosure_url}")
    by_key = {s.key: s for s in stored}
    taken: set[int] = set()
    found: list[StoredEpisodeKey | None] = [None] * len(parsed)
    for k, key in enumerate(keys):
        known = by_key.get(key)
        if known is not None and known.id not in taken:
            found[k] = known
            taken.add(known.id)
    present = set(keys)
    # Only a stored episode whose key has left the feed can have come back under another one.
    lost = [s for s in stored if s.id not in taken and s.key not in present]
    for k, e in enumerate(parsed):
        if found[k] is None:
            twin = _healed(e, [s for s in lost if s.id not in taken])
            if twin is not None:
                found[k] = twin
                taken.add(twin.id)
    intents: list[EpisodeIntent] = []
    seen: set[str] = set()
    for e, key, known in zip(parsed, keys, found, strict=True):
        if known is None:
            if key not in seen:
                intents.append(EpisodeIntent("insert", e, key=key))
        else:
            intents.append(EpisodeIntent("update" if _differs(e, known) else "unchanged", e, known.key, known.id))
        seen.add(key)
    return intents


def _healed(e: ParsedEpisode, lost: Sequence[StoredEpisodeKey]) -> StoredEpisodeKey | None:
    for s in lost:
        if s.enclosure_url == e.enclosure_url:
            return s
    for s in lost:
        if (
            e.title
            and s.title == e.title
            and e.published
            and s.published
            and e.published.date() == s.published.date()
            and e.duration_s is not None
            and s.duration_s is not None
            and abs(e.duration_s - s.duration_s) <= SAME_DURATION_S
            and _family(e.enclosure_type) == _family(s.enclosure_type)
        ):
            return s
    return None


def _family(kind: str | None) -> str:
    return (kind or "").partition("/")[0].lower()


def _differs(e: ParsedEpisode, s: StoredEpisodeKey) -> bool:
    return (e.guid, e.title, e.published, e.duration_s, e.enclosure_url) != (
        s.guid,
        s.title,
        s.published,
        s.duration_s,
        s.enclosure_url,
    )
