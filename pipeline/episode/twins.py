"""Shows and episodes that are there twice: the premium and the public feed of one show, an episode that is sent again.

Pure. A short or common title ("Trailer") says nothing across shows; a guid says nothing alone, as many feeds count
1, 2, 3.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.episode.identity import SAME_DURATION_S
from pipeline.records import ParsedEpisode

MOST_COMPARED = 50
"""Stored episodes that one is compared with, so that a hostile feed of one title costs no square."""
SHORTEST_TITLE = 12
_RERUN = re.compile(
    r"\b(?:re-?run|re-?broadcast|re-?air(?:ed)?|re-?release(?:d)?|repeat|replay|encore|best of|classic|"
    r"from the (?:archives?|vault)|throwback|wiederholung|rediffusion|redifusi[oó]n|repetici[oó]n|replica|reprise)\b"
)


@dataclass(frozen=True, slots=True)
class KnownEpisode:
    """What recognising a twin needs of a stored episode that is processed or on its way."""

    id: int
    feed_id: int
    guid: str | None
    title: str | None
    published: datetime | None
    duration_s: float | None
    enclosure_length: int | None = None


@dataclass(frozen=True, slots=True)
class KnownFeed:
    """What recognising a twin needs of a stored feed."""

    id: int
    title: str | None
    podcast_guid: str | None


Groups = dict[tuple[str, str | None], list[KnownEpisode]]


def plain(title: str | None) -> str:
    """A title without case, punctuation and marks of a rerun, for comparing."""
    words = unicodedata.normalize("NFKC", (title or "")[:500]).casefold()
    return " ".join(re.sub(r"[^\w]+", " ", _RERUN.sub(" ", words)).split())


def title_key(title: str | None) -> str | None:
    """The beginning of the plain title, by which twins are looked up."""
    return plain(title)[:64] or None


def telling(title: str | None) -> bool:
    """Whether a title says something across shows."""
    clean = plain(title)
    return len(clean) >= SHORTEST_TITLE and " " in clean


def is_rerun(title: str | None) -> bool:
    """Whether a title says that the episode was there before."""
    return _RERUN.search((title or "")[:500].casefold()) is not None


def find_twins(
    new: Sequence[ParsedEpisode], feed_id: int, known: Sequence[KnownEpisode], same_show: frozenset[int]
) -> list[KnownEpisode | None]:
    """For each new episode the stored one that it repeats, if there is one. `same_show`: ids of the feed's twins."""
    groups: Groups = defaultdict(list)
    for k in known:
        for name in (("guid", k.guid), ("title", plain(k.title))):
            if name[1] and len(groups[name]) < MOST_COMPARED:
                groups[name].append(k)
    return [_twin(e, feed_id, groups, same_show) for e in new]


def _twin(e: ParsedEpisode, feed_id: int, groups: Groups, same_show: frozenset[int]) -> KnownEpisode | None:
    near: list[KnownEpisode] = [*groups.get(("guid", e.guid), ()), *groups.get(("title", plain(e.title)), ())]
    for k in near:
        if k.feed_id == feed_id:
            if _sent_again(e, k):
                return k
        elif k.feed_id in same_show:
            if _of_one_show(e, k):
                return k
        elif _of_another_show(e, k):
            return k
    return None


def _sent_again(e: ParsedEpisode, k: KnownEpisode) -> bool:
    """Within one feed: the title says so, or bytes and seconds are the same. A title alone is a daily bulletin's."""
    if plain(e.title) != plain(k.title) or len(plain(e.title)) < SHORTEST_TITLE // 2:
        return False
    if is_rerun(e.title):
        return _near(e.duration_s, k.duration_s, otherwise=True)
    exact = e.duration_s is not None and e.duration_s == k.duration_s
    return exact and (e.enclosure_length or 0) > 100_000 and e.enclosure_length == k.enclosure_length


def _of_one_show(e: ParsedEpisode, k: KnownEpisode) -> bool:
    """Between twins: the same guid, or the same title. Premium episodes come days earlier, without the ads."""
    if not _near(e.duration_s, k.duration_s, otherwise=True):
        return False
    if e.guid and e.guid == k.guid:
        return plain(e.title) == plain(k.title) or _days(e, k) <= 1
    return bool(plain(e.title)) and plain(e.title) == plain(k.title) and _days(e, k) <= 31


def _of_another_show(e: ParsedEpisode, k: KnownEpisode) -> bool:
    return telling(e.title) and plain(e.title) == plain(k.title) and _one_day(e, k)


def _one_day(e: ParsedEpisode, k: KnownEpisode) -> bool:
    return _days(e, k) <= 1 and _near(e.duration_s, k.duration_s, otherwise=False)


def _near(a: float | None, b: float | None, *, otherwise: bool) -> bool:
    """Within ten minutes (inserted ads), and for short ones within a third. `otherwise`: when one is not known."""
    if a is None or b is None:
        return otherwise
    return abs(a - b) <= min(SAME_DURATION_S, max(a, b) / 3)


def _days(e: ParsedEpisode, k: KnownEpisode) -> float:
    if e.published is None or k.published is None:
        return float("inf")
    return abs(e.published - k.published) / timedelta(days=1)


def twin_feeds(feeds: Sequence[KnownFeed], episodes: Mapping[int, Sequence[KnownEpisode]]) -> dict[int, int]:
    """For each feed that is a twin the first feed (lowest id) of its show.

    The same podcast:guid; or the same title, and most of the episodes that both could have are the same. `episodes` has
    the newest of each feed that shares its title with another.
    """
    first: dict[int, int] = {}
    for same in _shared(feeds, lambda f: (f.podcast_guid or "").strip().lower()):
        first |= {f.id: same[0].id for f in same[1:]}
    for same in _shared(feeds, lambda f: plain(f.title)):
        for k, f in enumerate(same[1:21], 1):
            for earlier in same[:k]:
                if f.id not in first and mostly_same(episodes.get(f.id, ()), episodes.get(earlier.id, ())):
                    first[f.id] = first.get(earlier.id, earlier.id)
    return first


def _shared(feeds: Sequence[KnownFeed], name: Callable[[KnownFeed], str | None]) -> Iterable[list[KnownFeed]]:
    groups: dict[str | None, list[KnownFeed]] = defaultdict(list)
    for f in sorted(feeds, key=lambda f: f.id):
        key = name(f)
        if key:
            groups[key].append(f)
    return (g for g in groups.values() if len(g) > 1)


def mostly_same(a: Sequence[KnownEpisode], b: Sequence[KnownEpisode]) -> bool:
    """Whether more than half of the shorter list stands in the other one by title, day and duration."""
    short, long = sorted((a[:MOST_COMPARED], b[: 4 * MOST_COMPARED]), key=len)
    by_title: dict[str, list[KnownEpisode]] = defaultdict(list)
    for k in long:
        by_title[plain(k.title)].append(k)
    hits = sum(any(_same_day(s, k) for k in by_title.get(plain(s.title), ())[:MOST_COMPARED]) for s in short)
    return bool(short) and hits * 2 > len(short)


def _same_day(a: KnownEpisode, b: KnownEpisode) -> bool:
    if a.published is None or b.published is None:
        return False
    near = _near(a.duration_s, b.duration_s, otherwise=True)
    return near and bool(a.title) and abs(a.published - b.published) <= timedelta(days=1)
