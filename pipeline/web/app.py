"""The application: routes, error pages, headers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from sqlalchemy import text
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pipeline.errors import DatabaseAwayError, NotFoundError, PodsiftError, RefusedError
from pipeline.web import atom, find, forms, hooks, operators, people, readers, rss, session
from pipeline.web.headers import Headers
from pipeline.web.site import Site

log = logging.getLogger(__name__)

Page = Callable[[Request], Response]
FormPage = Callable[[Request, forms.Fields], Response]

_TITLES = {
    400: "That did not work",
    403: "Not open to everybody",
    404: "Nothing here",
    405: "Not that way",
    429: "That was too often",
    503: "One moment",
}


def posted(handler: FormPage, kind: str = "form") -> Callable[[Request], Awaitable[Response]]:
    """A handler of a form: counted for each address, read with bounds, then run in a thread of its own."""

    async def endpoint(request: Request) -> Response:
        request.app.state.site.check_rate(request, kind)
        return await run_in_threadpool(handler, request, await forms.fields(request))

    return endpoint


async def one_click(request: Request) -> Response:
    """RFC 8058: whatever the body's type, the token alone decides.

    Clicks are counted for each person, never by address: a mail provider sends many people's clicks from one. What
    carries no token of ours is counted by address.
    """
    await forms.body(request)
    site: Site = request.app.state.site
    try:
        who = people.leaving(request)
    except RefusedError:
        site.check_rate(request, "form")
        raise
    site.check_rate(request, "click", who)
    return await run_in_threadpool(people.unsubscribe, request)


def open_page(handler: Page) -> Page:
    """A reader's page, closed where the operator wants it so."""

    def endpoint(request: Request) -> Response:
        if not request.app.state.site.settings.web.public and not session.bearer(request):
            raise RefusedError("This archive is not open to everybody", why="its operator keeps it closed", status=403)
        return handler(request)

    return endpoint


def application(site: Site) -> ASGIApp:
    """The pages as an ASGI application."""
    routes = [
        Route("/healthz", healthz),
        Route("/robots.txt", robots),
        Route("/favicon.ico", favicon),
        Route("/static/{name}", static),
        Route("/", open_page(readers.home)),
        Route("/archive", open_page(readers.archive)),
        Route("/archive/{day}.md", open_page(rss.day_markdown)),
        Route("/archive/{day}", open_page(readers.day)),
        Route("/i/{id}", open_page(readers.insight)),
        Route("/e/{id}", open_page(readers.episode)),
        Route("/shows", open_page(readers.shows)),
        Route("/s/{id}", open_page(readers.show)),
        Route("/topics", open_page(readers.topics)),
        Route("/t/{topic:path}", open_page(readers.topic)),
        Route("/search", open_page(find.search)),
        Route("/feed.xml", open_page(atom.archive)),
        Route("/rss.xml", open_page(rss.everybody)),
        Route("/search.xml", open_page(atom.search)),
        Route("/subscribe", people.subscribe_page),
        Route("/subscribe", posted(people.subscribe, "subscribe"), methods=["POST"]),
        Route("/c/{token}", people.confirm_page),
        Route("/c/{token}", posted(people.confirm), methods=["POST"]),
        Route("/u/{token}", people.unsubscribe_page),
        Route("/u/{token}", one_click, methods=["POST"]),
        Route("/p/{token}", people.preferences_page),
        Route("/p/{token}", posted(people.preferences), methods=["POST"]),
        Route("/p/{token}/data.json", people.export),
        Route("/f/{token}", people.feedback_page),
        Route("/f/{token}", posted(people.feedback), methods=["POST"]),
        Route("/d/{token}", readers.sent),
        Route("/metrics", operators.metrics),
        Route("/r/{token}", rss.own),
        Route("/hooks/bounce", hooks.bounced, methods=["POST"]),
        Route("/ops/login", session.login_page),
        Route("/ops/login", posted(session.login, "login"), methods=["POST"]),
        Route("/ops/logout", posted(session.logout), methods=["POST"]),
        Route("/ops/act", posted(operators.act), methods=["POST"]),
        Route("/ops", operators.overview),
        Route("/ops/{part}", operators.part),
    ]
    handlers = {HTTPException: _http_error, PodsiftError: _our_error, Exception: _unexpected}
    app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    app.state.site = site
    return Headers(app, site.secure)


def healthz(request: Request) -> Response:
    """200 when the database answers."""
    with request.app.state.site.reads() as conn:
        conn.execute(text("SELECT 1"))
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


def robots(request: Request) -> Response:
    """What crawlers leave alone; token pages also say so themselves."""
    rest = "Disallow: /" if not request.app.state.site.settings.web.public else "Disallow: /search\nDisallow: /ops"
    return PlainTextResponse(f"User-agent: *\n{rest}\n")


def favicon(request: Request) -> Response:
    """Browsers ask for this name whatever a page says."""
    return FileResponse(request.app.state.site.static / "icon.svg", media_type="image/svg+xml")


def static(request: Request) -> Response:
    """Style, script and icon. Only names that are there are served."""
    site: Site = request.app.state.site
    name = request.path_params["name"]
    if name not in site.versions:
        raise HTTPException(404)
    known = request.query_params.get("v") == site.versions[name]
    kept = "public, max-age=31536000, immutable" if known else "no-cache"
    return FileResponse(site.static / name, headers={"Cache-Control": kept})


def _error(request: Request, status: int, message: str, why: str | None, headers: dict[str, str] | None) -> Response:
    site: Site = request.app.state.site
    title = _TITLES.get(status, "That did not work")
    return site.page(request, "error.html.j2", status, headers, title=title, message=message, why=why)


def _http_error(request: Request, e: HTTPException) -> Response:
    messages = {404: "There is no such page.", 405: "This page does not take that kind of request."}
    return _error(request, e.status_code, messages.get(e.status_code, str(e.detail)), None, dict(e.headers or {}))


def _our_error(request: Request, e: PodsiftError) -> Response:
    if isinstance(e, DatabaseAwayError):
        log.error("%s", e)
        return _error(request, 503, "The database is busy.", "Try again in a minute.", {"Retry-After": "30"})
    if isinstance(e, NotFoundError):
        return _error(request, 404, e.message, e.why, None)
    status = e.ids.get("status")
    if not isinstance(status, int):
        status = 400 if isinstance(e, RefusedError) else 500
    if status == 500:
        log.error("%s", e)
        return _error(request, 500, "This page could not be made.", "The operator finds the reason in the log.", None)
    wait = e.ids.get("wait")
    headers = {"Retry-After": str(max(1, round(wait)))} if isinstance(wait, float) else None
    return _error(request, status, e.message, e.why, headers)


def _unexpected(request: Request, _e: Exception) -> Response:
    # Starlette raises it again after this answer, and the server logs it with its traceback.
    return _error(request, 500, "This page could not be made.", "The operator finds the reason in the log.", None)
