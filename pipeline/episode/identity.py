"""Which parsed episode is which stored one: pure, in the order guid, enclosure, title and day.

Never by URL alone where guids stay: of one real pair of snapshots 43 of 43 guids stayed while every enclosure changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.records import ParsedEpisode

SAME_DURATION_S = 600
LONGEST_KEY = 2000
"""Bytes."""
MOST_TWINS = 50
"""How many stored episodes of the same title and day, or the same address, are compared with one: a hostile feed of
one title would else cost the square of its length."""


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
    chapters_url: str | None = None
    transcripts: Sequence[Mapping[str, str | None]] = ()


@dataclass(frozen=True, slots=True)
class EpisodeIntent:
    """`insert` under `key`, `update` of `id`, or `unchanged`."""

    action: str
    episode: ParsedEpisode
    key: str | None = None
    id: int | None = None


def own_key(e: ParsedEpisode) -> str:
    """The key an episode asks for: verbatim guid, else link, else enclosure URL; of a very long one the hash."""
    return bounded(e.guid or e.link or e.enclosure_url)


def bounded(key: str) -> str:
    """A key that fits into an index: PostgreSQL takes no more than 2,704 bytes, and one feed's guid may have any."""
    if len(key) <= LONGEST_KEY // 4 or len(key.encode("utf-8", "replace")) <= LONGEST_KEY:
        return key
    return f"{key[:100]}#{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}"


def match(parsed: Sequence[ParsedEpisode], stored: Sequence[StoredEpisodeKey]) -> list[EpisodeIntent]:
    """An intent for each parsed episode, in order. No stored episode is taken twice, none is deleted.

    An exact repetition (same guid, same enclosure) within the fetch gets none.
    """
    parsed = _distinct(parsed)
    by_key = {s.key: s for s in stored}
    by_guid = {s.guid: s for s in reversed(stored) if s.guid}
    keys = _keys(parsed, by_key.keys())
    taken: set[int] = set()
    found: list[StoredEpisodeKey | None] = [None] * len(parsed)
    for k, key in enumerate(keys):
        known = by_key.get(key)
        guid = parsed[k].guid
        if known is None and guid and key == bounded(guid):
            # An episode that was healed before keeps its key, and is known by its present guid.
            known = by_guid.get(guid)
        if known is not None and known.id not in taken:
            found[k] = known
            taken.add(known.id)
    present = set(keys)
    # Only a stored episode whose key has left the feed can have come back under another one.
    lost = [s for s in stored if s.id not in taken and s.key not in present]
    addresses = _grouped((s.enclosure_url, s) for s in lost)
    titles = _grouped(((s.title, s.published.date()), s) for s in lost if s.title and s.published)
    for k, e in enumerate(parsed):
        if found[k] is None:
            twin = _healed(e, addresses, titles, taken)
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


def _distinct(parsed: Sequence[ParsedEpisode]) -> list[ParsedEpisode]:
    first: dict[tuple[str, str], ParsedEpisode] = {}
    for e in parsed:
        first.setdefault((own_key(e), e.enclosure_url), e)
    return list(first.values())


def _keys(parsed: Sequence[ParsedEpisode], stored: Iterable[str]) -> list[str]:
    """Of a repeated guid the first is stable; a later one is told apart by its address, also once it is alone."""
    known, used, keys = set(stored), set[str](), []
    for e in parsed:
        plain = own_key(e)
        apart = bounded(f"{plain}|{e.enclosure_url}")
        keys.append(apart if plain in used or apart in known else plain)
        used.add(keys[-1])
    return keys


def _grouped(pairs: Iterable[tuple[Hashable, StoredEpisodeKey]]) -> dict[Hashable, list[StoredEpisodeKey]]:
    groups: dict[Hashable, list[StoredEpisodeKey]] = defaultdict(list)
    for name, s in pairs:
        if len(groups[name]) < MOST_TWINS:
            groups[name].append(s)
    return groups


def _healed(
    e: ParsedEpisode,
    addresses: dict[Hashable, list[StoredEpisodeKey]],
    titles: dict[Hashable, list[StoredEpisodeKey]],
    taken: set[int],
) -> StoredEpisodeKey | None:
    for s in addresses.get(e.enclosure_url, ()):
        if s.id not in taken and not _another(e, s):
            return s
    for s in titles.get((e.title, e.published.date()), ()) if e.published else ():
        if (
            s.id not in taken
            and e.duration_s is not None
            and s.duration_s is not None
            and abs(e.duration_s - s.duration_s) <= SAME_DURATION_S
            and _family(e.enclosure_type) == _family(s.enclosure_type)
        ):
            return s
    return None


def _another(e: ParsedEpisode, s: StoredEpisodeKey) -> bool:
    """Title and day both say otherwise: a news feed that keeps one address for its latest bulletin."""
    if not (e.title and s.title and e.published and s.published):
        return False
    return e.title != s.title and abs(e.published - s.published) >= timedelta(days=1)


def _family(kind: str | None) -> str:
    return (kind or "").partition("/")[0].lower()


def _differs(e: ParsedEpisode, s: StoredEpisodeKey) -> bool:
    return (e.guid, e.title, e.published, e.duration_s, e.enclosure_url, e.chapters_url) != (
        s.guid,
        s.title,
        s.published,
        s.duration_s,
        s.enclosure_url,
        s.chapters_url,
    ) or [t.url for t in e.transcripts] != [t["url"] for t in s.transcripts]
