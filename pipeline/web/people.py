"""Pages for subscribers, opened by the signed links of their mails. A GET changes nothing: scanners follow links."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from pipeline.email import optin, tokens
from pipeline.email.addresses import check
from pipeline.errors import NotFoundError, RefusedError, UsageError
from pipeline.records import Subscriber
from pipeline.store import archive, subscribers
from pipeline.store import feedback as opinions
from pipeline.web import wanted
from pipeline.web.forms import Fields, one
from pipeline.web.site import Site


def known(conn: Connection, said: dict[str, Any]) -> Subscriber | None:
    """The person that a token means; None when they were deleted or the link was made useless since."""
    try:
        who = subscribers.get(conn, said["subscriber_id"])
    except NotFoundError:
        return None
    return who if who.nonce == said["nonce"] else None


def _said(request: Request, purpose: str) -> dict[str, Any]:
    site: Site = request.app.state.site
    return tokens.read(site.settings, purpose, request.path_params["token"], now=site.clock.now())


def _who(conn: Connection, said: dict[str, Any]) -> Subscriber:
    who = known(conn, said)
    if who is None:
        raise RefusedError("This link is not valid any more", why="the address was deleted, or newer links replaced it")
    return who


# --- subscribe -------------------------------------------------------------------------------------------------------


def _open(request: Request) -> Site:
    site: Site = request.app.state.site
    if not site.settings.web.open_subscribe:
        raise RefusedError("Subscribing is by invitation", why="ask whoever runs this site", status=403)
    if site.settings.web.base_url is None or site.settings.secret_key is None:
        # The confirm mail needs a signed link to here.
        raise RefusedError("Subscribing is not set up yet", why="ask whoever runs this site", status=403)
    return site


def subscribe_page(request: Request) -> Response:
    """The form for an address."""
    return _open(request).page(request, "people/subscribe.html.j2", error=None, email="")


def subscribe(request: Request, form: Fields) -> Response:
    """Ask the address's owner. The answer is the same whether or not the address is known."""
    site = _open(request)
    try:
        email = check(one(form, "email"))
    except UsageError:
        email = one(form, "email")[:200]
        error = "This does not look like a mail address. It should be like name@example.org."
        return site.page(request, "people/subscribe.html.j2", 422, error=error, email=email)
    ask(site, email, request.client.host if request.client else "")
    return site.page(request, "people/asked.html.j2", email=email)


def ask(site: Site, email: str, address: str) -> None:
    """Queue the mail that asks the address's owner."""
    with site.db.begin() as conn:
        optin.ask(conn, site.settings, email, site.clock.now(), {"how": "web", "from": address})


def confirm_page(request: Request) -> Response:
    """A button, as a scanner may have opened the link."""
    site: Site = request.app.state.site
    said = _said(request, "confirm")
    with site.reads() as conn:
        who = _who(conn, said)
    return site.page(request, "people/confirm.html.j2", who=who, done=False)


def confirm(request: Request, _form: Fields) -> Response:
    """The owner said yes. Again changes nothing."""
    site: Site = request.app.state.site
    said = _said(request, "confirm")
    proof = {"confirmed_by": "web", "confirmed_from": request.client.host if request.client else ""}
    with site.db.begin() as conn:
        who = subscribers.activate(conn, _who(conn, said).id, site.clock.now(), proof)
    manage = tokens.make(site.settings, "preferences", who.id, who.nonce)
    return site.page(request, "people/confirm.html.j2", who=who, done=True, manage=manage)


# --- unsubscribe -----------------------------------------------------------------------------------------------------


def unsubscribe_page(request: Request) -> Response:
    """A button. Nothing has changed yet."""
    site: Site = request.app.state.site
    said = _said(request, "unsubscribe")
    with site.reads() as conn:
        who = known(conn, said)
    gone = who is None or who.state == "removed"
    return site.page(request, "people/unsubscribe.html.j2", who=who, done=gone, manage=_manage(site, who))


def leaving(request: Request) -> int:
    """Whose link it is, by the token alone. Raises RefusedError when it is none of ours."""
    return int(_said(request, "unsubscribe")["subscriber_id"])


def unsubscribe(request: Request) -> Response:
    """At once and without a question (RFC 8058): 200 however often it is asked, also for somebody deleted since."""
    site: Site = request.app.state.site
    said = _said(request, "unsubscribe")
    with site.db.begin() as conn:
        who = known(conn, said)
        if who is not None and who.state != "removed":
            subscribers.remove(conn, who.id, site.clock.now())
    return site.page(request, "people/unsubscribe.html.j2", who=who, done=True, manage=_manage(site, who))


def _manage(site: Site, who: Subscriber | None) -> str | None:
    return tokens.make(site.settings, "preferences", who.id, who.nonce) if who else None


# --- preferences -----------------------------------------------------------------------------------------------------


def preferences_page(request: Request) -> Response:
    """Everything that a person may set, without a password."""
    site: Site = request.app.state.site
    said = _said(request, "preferences")
    with site.reads() as conn:
        return _preferences(request, conn, _who(conn, said), {}, None)


def _preferences(
    request: Request, conn: Connection, who: Subscriber, errors: dict[str, str], form: Fields | None
) -> Response:
    site: Site = request.app.state.site
    return site.page(
        request,
        "people/preferences.html.j2",
        422 if errors else 200,
        who=who,
        form=form,
        errors=errors,
        token=request.path_params["token"],
        leave=tokens.make(site.settings, "unsubscribe", who.id, who.nonce),
        feed=site.absolute(request, f"/r/{tokens.make(site.settings, 'feed', who.id, who.nonce)}"),
        saved=_SAVED.get(request.query_params.get("saved", "")),
        shows=archive.shows(conn)[:OFFERED],
        topics=[name for name, _ in archive.topics(conn, SUGGESTED)],
        days=wanted.DAYS,
        counts=range(wanted.LEAST, wanted.MOST + 1),
        zones=sorted(available_timezones()),
    )


OFFERED = 300
"""Shows that the form offers; its fields have to stay within what a form may have."""
SUGGESTED = 30
"""So many of the most frequent topics are named beside the field for them."""

_SAVED = {
    "save": "Saved. It holds from the next digest on.",
    "pause": "Paused.",
    "resume": "The pause is over.",
}


def preferences(request: Request, form: Fields) -> Response:
    """Save, pause, resume or delete, as the pressed button says."""
    site: Site = request.app.state.site
    said = _said(request, "preferences")
    action, now = one(form, "action", "save"), site.clock.now()
    if action not in (*_SAVED, "delete"):
        raise RefusedError("This form is not understood")
    with site.db.begin() as conn:
        who = _who(conn, said)
        errors = _ACTIONS[action](conn, who, form, now)
        if errors:
            return _preferences(request, conn, who, errors, form if action == "save" else None)
    if action == "delete":
        return site.page(request, "people/deleted.html.j2")
    return RedirectResponse(f"{site.root}/p/{request.path_params['token']}?saved={action}", 303)


def _save(conn: Connection, who: Subscriber, form: Fields, now: Any) -> dict[str, str]:
    asked = wanted.read(form, [s.id for s in archive.shows(conn)][:OFFERED])
    if not asked.errors:
        subscribers.change(conn, who.id, asked.values, now)
    return asked.errors


def _pause(conn: Connection, who: Subscriber, form: Fields, now: Any) -> dict[str, str]:
    until = wanted.pause_end(one(form, "until"), who, now)
    if isinstance(until, str):
        return {"until": until}
    if who.state not in ("active", "paused"):
        return {"until": "There is nothing to pause: this address gets no digest."}
    subscribers.pause(conn, who.id, until, now)
    return {}


def _resume(conn: Connection, who: Subscriber, _form: Fields, now: Any) -> dict[str, str]:
    subscribers.resume(conn, who.id, now)
    return {}


def _delete(conn: Connection, who: Subscriber, form: Fields, _now: Any) -> dict[str, str]:
    if one(form, "sure") != "yes":
        return {"sure": "Tick the box first. What is deleted does not come back."}
    subscribers.erase(conn, who.id)
    return {}


_ACTIONS = {"save": _save, "pause": _pause, "resume": _resume, "delete": _delete}


def export(request: Request) -> Response:
    """Everything that is stored about a person, as a file."""
    site: Site = request.app.state.site
    said = _said(request, "preferences")
    with site.reads() as conn:
        data = subscribers.export(conn, _who(conn, said).id)
    return JSONResponse(data, headers={"Content-Disposition": 'attachment; filename="podsift-data.json"'})


# --- feedback --------------------------------------------------------------------------------------------------------


def _opinion(request: Request, conn: Connection) -> tuple[Subscriber, int, str, str]:
    said = _said(request, "feedback")
    insight_id, verdict = said.get("insight"), said.get("verdict")
    who = _who(conn, said)
    if not isinstance(insight_id, int) or verdict not in opinions.VERDICTS:
        raise RefusedError("This link is not valid")
    title = opinions.title(conn, who.id, insight_id)
    if title is None:
        raise RefusedError("This link is not valid", why="that insight was not in a digest of yours")
    return who, insight_id, verdict, title


def feedback_page(request: Request) -> Response:
    """A button: the link alone gives no opinion."""
    site: Site = request.app.state.site
    with site.reads() as conn:
        who, _, verdict, title = _opinion(request, conn)
    return _feedback(request, site, who, verdict, title, done=False)


def feedback(request: Request, form: Fields) -> Response:
    """Store the opinion; a later one takes its place."""
    site: Site = request.app.state.site
    with site.db.begin() as conn:
        who, insight_id, verdict, title = _opinion(request, conn)
        chosen = one(form, "verdict", verdict)
        if chosen not in opinions.VERDICTS:
            raise RefusedError("This form is not understood")
        opinions.give(conn, who.id, insight_id, chosen, site.clock.now())
    return _feedback(request, site, who, chosen, title, done=True)


def _feedback(request: Request, site: Site, who: Subscriber, verdict: str, title: str, *, done: bool) -> Response:
    values: dict[str, Any] = {"verdict": verdict, "verdicts": opinions.VERDICTS, "title": title, "done": done}
    return site.page(request, "people/feedback.html.j2", manage=_manage(site, who), **values)
