"""Pages for readers: the archive by day, an insight with its proof, episodes, shows, topics."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from pipeline.email import tokens
from pipeline.email.render import repeats
from pipeline.errors import NotFoundError
from pipeline.insight.features import content_words
from pipeline.insight.judge import WordsJudge
from pipeline.insight.numbers import numbers
from pipeline.records import StoredInsight
from pipeline.store import archive as store
from pipeline.store import insights, links
from pipeline.store.search import Filters
from pipeline.store.tables import insight as insight_table
from pipeline.web.forms import clean, whole
from pipeline.web.headers import MAIL_POLICY
from pipeline.web.people import known
from pipeline.web.site import Site

DAYS = 30
RELATED = 5
_SHARED = 4


def number(request: Request) -> int:
    """The id in a path. Raises HTTPException 404 when it cannot be one."""
    found = whole(request.path_params["id"], 1, store.MAX_ID)
    if found is None:
        raise HTTPException(404)
    return found


def home(request: Request) -> Response:
    """The newest day in full, and the days before it."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        days = store.days(conn, limit=8)
        newest = days[0].date if days else None
        told = store.of_days(conn, [newest])[newest] if newest else []
        shows = store.shows(conn)
    return site.page(
        request, "home.html.j2", day=newest, told=told, days=days[1:], shows=shows, repeats=repeats, query=None
    )


def archive(request: Request) -> Response:
    """Days with digests, newest first, 30 a page."""
    site: Site = request.app.state.site
    before = _day(request.query_params.get("before", ""))
    with site.reads() as conn:
        days = store.days(conn, before=before.isoformat() if before else None, limit=DAYS + 1)
        told = store.of_days(conn, [d.date for d in days[:DAYS]], limit=DAYS * 10)
    more = days[DAYS - 1].date if len(days) > DAYS else None
    return site.page(request, "archive.html.j2", days=days[:DAYS], told=told, more=more)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def day(request: Request) -> Response:
    """What the digests of one day carried."""
    site: Site = request.app.state.site
    wanted = _day(request.path_params["day"])
    if wanted is None:
        raise HTTPException(404)
    with site.reads() as conn:
        told = store.of_days(conn, [wanted.isoformat()])[wanted.isoformat()]
        earlier, later = store.neighbours(conn, wanted)
    if not told:
        raise NotFoundError("No digest was sent on that day", why="days with digests are in the archive")
    return site.page(
        request,
        "day.html.j2",
        day=wanted.isoformat(),
        told=told,
        earlier=earlier,
        later=later,
        repeats=repeats,
        query=None,
    )


def insight(request: Request) -> Response:
    """The claim, its proof with the speaker, the second in the audio, the talk around it, and what it belongs to."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        found, row = store.insight_row(conn, number(request))
        values: dict[str, Any] = {
            "i": found,
            "row": row,
            "sound": store.sound(conn, found.episode_id),
            "talk": store.around(conn, found),
            "evidence": frozenset(row["evidence"]),
            "days": store.sent_on(conn, found.id),
            "episode": store.episode_row(conn, found.episode_id),
        } | _links(conn, site, found)
    return site.page(request, "insight.html.j2", repeats=repeats, **values)


def _links(conn: Connection, site: Site, i: StoredInsight) -> dict[str, object]:
    """What a judge linked this insight to; where none did, what is near it in other shows."""
    judged = links.related(conn, i.id, limit=20)
    updates = [(link, o) for link, o in judged if link.kind == "update" and link.newer_id == i.id]
    updated = [(link, o) for link, o in judged if link.kind == "update" and link.earlier_id == i.id]
    related = [(o, _reason(i, o, link)) for link, o in judged if link.kind != "update" and o.feed_id != i.feed_id]
    seen = {i.id} | {o.id for _, o in judged}
    if len(related) < RELATED:
        related += [(o, why) for o, why in _near(conn, site, i) if o.id not in seen]
    return {"updates": updates, "updated": updated, "related": related[:RELATED]}


def _reason(i: StoredInsight, other: StoredInsight, link: links.Link) -> str:
    # What words alone said of two is how it was decided; a reader wants to know what they share.
    unjudged = link.kind == "related" and link.judge == WordsJudge.name
    return likeness(i.text, other.text, link.cosine) if unjudged else link.reason


def _near(conn: Connection, site: Site, i: StoredInsight) -> list[tuple[StoredInsight, str]]:
    (candidate,) = insights.with_vectors(conn, insight_table.c.id == i.id)
    if candidate.vector is None:
        return []
    near = site.index.by_meaning(conn, candidate.vector, Filters())[: RELATED * 6]
    stored = insights.by_id(conn, [n for n, _ in near])
    found = []
    for other_id, cosine in near:
        other = stored.get(other_id)
        if other is not None and other.feed_id != i.feed_id:
            found.append((other, likeness(i.text, other.text, cosine)))
    return found[:RELATED]


def likeness(a: str, b: str, cosine: float) -> str:
    """Why two texts are shown together when no judge looked: the subject words of both, and how near they are."""
    theirs = set(content_words(b))
    shared = list(dict.fromkeys(w for w in content_words(a) if w in theirs and len(w) > 3 and not numbers(w)))[:_SHARED]
    both = f"Both speak of {', '.join(shared)}" if shared else "A similar thought in other words"
    return f"{both} (likeness {cosine:.2f} of 1, not judged)"


def episode(request: Request) -> Response:
    """An episode: its insights and its whole transcript."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        row = store.episode_row(conn, number(request))
        found = insights.of_episode(conn, row["id"])
        talk = store.sentences(conn, row["id"])
        sound = store.sound(conn, row["id"])
    proofs = {n: i.id for i in reversed(found) for n in range(i.first, i.last + 1)}
    return site.page(request, "episode.html.j2", episode=row, found=found, talk=talk, sound=sound, proofs=proofs)


def shows(request: Request) -> Response:
    """Every show that is read."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        found = store.shows(conn)
    return site.page(request, "shows.html.j2", shows=found)


def show(request: Request) -> Response:
    """A show and its episodes."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        found = store.show(conn, number(request))
        episodes = store.episodes_of(conn, found.id)
    return site.page(request, "show.html.j2", show=found, episodes=episodes)


def topics(request: Request) -> Response:
    """What the insights are about, and what the shows are tagged with."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        found = store.topics(conn)
        shows = store.shows(conn)
    tags = sorted({t for s in shows for t in s.tags})
    return site.page(
        request, "topics.html.j2", topics=found, tags=[(t, [s for s in shows if t in s.tags]) for t in tags]
    )


def topic(request: Request) -> Response:
    """The insights of one topic, newest first."""
    site: Site = request.app.state.site
    name = clean(request.path_params["topic"])[:100]
    with site.reads() as conn:
        found = store.of_topic(conn, name)
    if not found:
        raise NotFoundError("No insight has this topic")
    return site.page(request, "topic.html.j2", topic=name, found=found, repeats=repeats, query=None)


def sent(request: Request) -> Response:
    """A digest as it was sent, for the person whose mail has the link; `?form=text` is its other half."""
    site: Site = request.app.state.site
    said = tokens.read(site.settings, "view", request.path_params["token"])
    digest_id = said.get("digest")
    with site.reads() as conn:
        who = known(conn, said)
        row = store.digest_row(conn, digest_id) if isinstance(digest_id, int) else None
    if who is None or row is None or row["subscriber_id"] != who.id:
        raise NotFoundError("This digest is not there any more")
    if request.query_params.get("form") == "text":
        return PlainTextResponse(row["text"])
    return HTMLResponse(row["html"], headers={"Content-Security-Policy": MAIL_POLICY})
