"""What recognising twins needs of the database: the newest episodes that are processed or on their way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, and_, or_, select

from pipeline.episode.twins import KnownEpisode, KnownFeed, plain, telling, title_key, twin_feeds
from pipeline.records import ParsedEpisode
from pipeline.store.tables import episode, feed

PROCESSED = ("download", "transcribe", "extract", "relate", "done")
MOST_KNOWN = 2000
_COLUMNS = tuple(episode.c[n] for n in KnownEpisode.__dataclass_fields__)


def known_near(
    conn: Connection, feed_id: int, new: Sequence[ParsedEpisode], same_show: frozenset[int]
) -> list[KnownEpisode]:
    """Stored episodes that these could repeat, first stored first: of the show, and of any show near their days."""
    keys = {key for e in new if (key := title_key(e.title))}
    shows = episode.c.feed_id.in_((feed_id, *same_show))
    here = and_(shows, or_(episode.c.title_key.in_(keys), episode.c.guid.in_({e.guid for e in new if e.guid})))
    # A feed may say 0001-01-01, from which no day can be taken away.
    dates = sorted(e.published for e in new if e.published and 1 < e.published.year < 9999)
    far = {key for e in new if telling(e.title) and (key := title_key(e.title))}
    if dates and far:
        day = timedelta(days=1)
        near = and_(episode.c.published >= dates[0] - day, episode.c.published <= dates[-1] + day)
        here = or_(here, and_(episode.c.title_key.in_(far), near))
    query = (
        select(*_COLUMNS)
        .where(episode.c.stage.in_(PROCESSED), here)
        .order_by(episode.c.published.desc(), episode.c.id)
        .limit(MOST_KNOWN)
    )
    return sorted((KnownEpisode(*row) for row in conn.execute(query)), key=lambda k: k.id)


def twins(conn: Connection) -> dict[int, int]:
    """For each feed that is there twice the first feed of its show."""
    query = select(*(feed.c[n] for n in KnownFeed.__dataclass_fields__)).order_by(feed.c.id)
    feeds = [KnownFeed(*row) for row in conn.execute(query)]
    titles: dict[str, list[int]] = {}
    for f in feeds:
        titles.setdefault(plain(f.title), []).append(f.id)
    shared = [i for title, ids in titles.items() if title and len(ids) > 1 for i in ids]
    return twin_feeds(feeds, {i: _newest(conn, i) for i in shared})


def same_show(conn: Connection, feed_id: int, title: str | None, podcast_guid: str | None) -> frozenset[int]:
    """Ids of the other feeds with this title or podcast:guid."""
    key = title_key(title)
    same = [feed.c.title_key == key] if key else []
    same += [feed.c.podcast_guid == podcast_guid] if podcast_guid else []
    if not same:
        return frozenset()
    return frozenset(conn.execute(select(feed.c.id).where(feed.c.id != feed_id, or_(*same)).limit(20)).scalars())


def _newest(conn: Connection, feed_id: int) -> list[KnownEpisode]:
    query = select(*_COLUMNS).where(episode.c.feed_id == feed_id).order_by(episode.c.published.desc()).limit(200)
    return [KnownEpisode(*row) for row in conn.execute(query)]
