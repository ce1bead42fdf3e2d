"""Pages for the operator: feeds, jobs, mails, channels, people, models, feedback; and what can be done about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from pipeline.errors import PodsiftError, RefusedError
from pipeline.metrics import days, exposition
from pipeline.store import archive, channels, episodes, feedback, feeds, figures, llm_calls, outbox, subscribers
from pipeline.urls import redact
from pipeline.web import session
from pipeline.web.forms import Fields, one, whole
from pipeline.web.site import Site

PARTS = {
    "feeds": "Feeds",
    "jobs": "Jobs",
    "mails": "Mails",
    "channels": "Channels",
    "people": "People",
    "models": "Models and proof",
    "days": "Day by day",
    "feedback": "Feedback",
}
_DAYS = 30


def _page(request: Request, name: str, **values: Any) -> Response:
    site: Site = request.app.state.site
    done = request.query_params.get("done", "")
    return site.page(
        request,
        f"ops/{name}.html.j2",
        parts=PARTS,
        csrf=session.csrf(request),
        done=DONE.get(done),
        now=site.clock.now(),
        **values,
    )


def overview(request: Request) -> Response:
    """What wants the operator's eye, first."""
    site: Site = request.app.state.site
    if not session.operator(request):
        return session.to_login(site)
    with site.reads() as conn:
        values = {
            "feeds": figures.feed_states(conn),
            "episodes": episodes.counts(conn),
            "mails": outbox.counts(conn),
            "people": figures.subscriber_states(conn),
            "feedback": feedback.counts(conn),
            "stages": episodes.STAGES,
            "states": outbox.STATES,
            "posts": channels.counts(conn),
            "post_states": channels.STATES,
        }
    return _page(request, "overview", **values)


def part(request: Request) -> Response:
    """One of the tables."""
    site: Site = request.app.state.site
    name = request.path_params["part"]
    session.key(site)
    if name not in PARTS:
        raise HTTPException(404)
    if not session.operator(request):
        return session.to_login(site)
    with site.reads() as conn:
        values = _TABLES[name](conn, request)
    return _page(request, name, **values)


def _feeds(conn: Connection, _request: Request) -> dict[str, Any]:
    return {"rows": [r | {"url": redact(r["url"])} for r in figures.feeds(conn)]}


def _jobs(conn: Connection, _request: Request) -> dict[str, Any]:
    found = {s: episodes.listed(conn, stage=s, limit=100) for s in ("failed", *episodes.WAITING, "future")}
    return {"rows": found, "stages": episodes.STAGES}


def _mails(conn: Connection, request: Request) -> dict[str, Any]:
    state = request.query_params.get("state")
    known = state if state in outbox.STATES else None
    return {"rows": outbox.listed(conn, known), "state": known, "states": outbox.STATES, "n": outbox.counts(conn)}


def _channels(conn: Connection, request: Request) -> dict[str, Any]:
    state = request.query_params.get("state")
    known = state if state in channels.STATES else None
    return {
        "rows": channels.overview(conn),
        "posts": channels.deliveries(conn, known),
        "state": known,
        "states": channels.STATES,
        "n": channels.counts(conn),
    }


def _people(conn: Connection, _request: Request) -> dict[str, Any]:
    return {"rows": subscribers.listed(conn, all_states=True), "n": figures.subscriber_states(conn)}


def _models(conn: Connection, request: Request) -> dict[str, Any]:
    since = request.app.state.site.clock.now() - timedelta(days=_DAYS)
    written, dropped = figures.writers(conn), figures.drops(conn)
    kept, lost = sum(w["insights"] for w in written), sum(d["times"] for d in dropped)
    return {
        "writers": written,
        "drops": dropped,
        "kept": kept,
        "share": kept / (kept + lost) if kept + lost else None,
        "hearing": figures.hearing(conn),
        "calls": llm_calls.summary(conn, since),
        "days": _DAYS,
    }


def _days_of(conn: Connection, request: Request) -> dict[str, Any]:
    return {"rows": days.rows(conn, request.app.state.site.clock.now(), _DAYS), "days": _DAYS}


def metrics(request: Request) -> Response:
    """For Prometheus, with the operator's token as a bearer; no such page without one, nor for anybody else."""
    site: Site = request.app.state.site
    session.key(site)
    if not session.bearer(request):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    text = exposition.render(site.db, site.settings, site.clock)
    return Response(text, headers={"Content-Type": exposition.CONTENT_TYPE, "Cache-Control": "no-store"})


def _feedback(conn: Connection, _request: Request) -> dict[str, Any]:
    return {"rows": feedback.report(conn), "n": feedback.counts(conn), "verdicts": feedback.VERDICTS}


_TABLES: dict[str, Callable[[Connection, Request], dict[str, Any]]] = {
    "feeds": _feeds,
    "jobs": _jobs,
    "mails": _mails,
    "channels": _channels,
    "people": _people,
    "models": _models,
    "days": _days_of,
    "feedback": _feedback,
}

DONE = {
    "retry": "The episode is on its way again.",
    "pause": "The feed is paused.",
    "resume": "The feed is polled again.",
    "poll": "The feed is polled at the next look, within a minute.",
    "resend": "The mail is queued again, with the same bytes.",
    "mark-sent": "The mail counts as sent.",
    "channel-pause": "Nothing more goes to this channel.",
    "channel-resume": "Digests go to this channel again, from the next one on.",
    "post-again": "The post is made again with the next pass, within a minute.",
    "post-arrived": "The post counts as sent.",
}
"""Each action with what is said once it is done."""
_BACK = {
    "retry": "jobs", "pause": "feeds", "resume": "feeds", "poll": "feeds", "resend": "mails", "mark-sent": "mails",
    "channel-pause": "channels", "channel-resume": "channels", "post-again": "channels", "post-arrived": "channels",
}  # fmt: skip


def act(request: Request, form: Fields) -> Response:
    """Do one thing, and go back to where it was asked for; a bearer gets JSON."""
    site: Site = request.app.state.site
    session.key(site)
    session.check_post(request, form)
    action, wanted = one(form, "action"), whole(one(form, "id"), 1, archive.MAX_ID)
    if action not in DONE or wanted is None:
        raise RefusedError("This action is not known", why="action and id are needed", status=400)
    try:
        with site.db.begin() as conn:
            _do(conn, action, wanted, site)
    except PodsiftError as e:
        raise RefusedError(e.message, why=e.cause(), status=409) from e
    if session.bearer(request):
        return JSONResponse({"action": action, "id": wanted, "done": DONE[action]})
    return RedirectResponse(f"{site.root}/ops/{_BACK[action]}?done={action}", 303)


def _do(conn: Connection, action: str, wanted: int, site: Site) -> None:
    now = site.clock.now()
    if action == "retry":
        episodes.retry(conn, wanted)
    elif action in ("resend", "mark-sent"):
        outbox.resolve(conn, wanted, "queued" if action == "resend" else "sent", now)
    elif action in ("post-again", "post-arrived"):
        channels.resolve(conn, wanted, "queued" if action == "post-again" else "sent", now)
    elif action == "channel-pause":
        channels.change(conn, channels.find(conn, str(wanted))["id"], "paused", "by the operator")
    elif action == "channel-resume":
        channels.change(conn, channels.find(conn, str(wanted))["id"], "active")
    else:
        feed_id = feeds.find(conn, str(wanted))["id"]
        changes: dict[str, dict[str, Any]] = {
            "pause": {"state": "paused"},
            "resume": {"state": "active", "next_poll_at": now},
            "poll": {"next_poll_at": now},
        }
        feeds.change(conn, feed_id, changes[action])
