"""Who the operator is: a bearer token, or a login that leaves a cookie for /ops alone. Posts carry a second token."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from itsdangerous import BadData, TimestampSigner
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.errors import RefusedError
from pipeline.web.forms import Fields, one
from pipeline.web.site import Site

COOKIE = "podsift_ops"
HOURS = 12


def key(site: Site) -> str:
    """The operator's token. Raises HTTPException 404 while there is none: then there are no such pages."""
    token = site.settings.web.operator_token
    if token is None:
        raise HTTPException(404)
    return token.get_secret_value()


def _signer(token: str) -> TimestampSigner:
    return TimestampSigner(token, salt="podsift operator session")


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode("utf-8", "replace"))


def bearer(request: Request) -> bool:
    """Whether a request carries the operator's token in its Authorization header."""
    token = request.app.state.site.settings.web.operator_token
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return token is not None and kind.lower() == "bearer" and _same(given.strip(), token.get_secret_value())


def cookie(request: Request) -> str | None:
    """The session's cookie when it is ours and not too old."""
    value = request.cookies.get(COOKIE, "")
    try:
        _signer(key(request.app.state.site)).unsign(value, max_age=HOURS * 3600)
    except BadData:
        return None
    return value


def csrf(request: Request) -> str:
    """What a form of this session has to carry."""
    value = cookie(request) or ""
    token = key(request.app.state.site)
    return hmac.new(token.encode(), f"podsift csrf {value}".encode(), hashlib.sha256).hexdigest()


def operator(request: Request) -> bool:
    """Whether the operator asks."""
    key(request.app.state.site)
    return bearer(request) or cookie(request) is not None


def check_post(request: Request, form: Fields) -> None:
    """Raise RefusedError (403) unless the operator's own page sent this form. A bearer is no browser."""
    if bearer(request):
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RefusedError("This form came from another site", status=403)
    if cookie(request) is None or not _same(one(form, "csrf"), csrf(request)):
        raise RefusedError("This form is not from this session", why="sign in again, then repeat it", status=403)


def to_login(site: Site) -> Response:
    """Where a request without a session goes."""
    return RedirectResponse(f"{site.root}/ops/login", 303)


def login_page(request: Request) -> Response:
    """The form for the token."""
    site: Site = request.app.state.site
    if operator(request):
        return RedirectResponse(f"{site.root}/ops", 303)
    return site.page(request, "ops/login.html.j2", wrong=False)


def login(request: Request, form: Fields) -> Response:
    """Check the token and open a session."""
    site: Site = request.app.state.site
    token = key(site)
    if not _same(one(form, "token"), token):
        return site.page(request, "ops/login.html.j2", 403, wrong=True)
    answer = RedirectResponse(f"{site.root}/ops", 303)
    answer.set_cookie(
        COOKIE,
        _signer(token).sign(secrets.token_urlsafe(18)).decode(),
        max_age=HOURS * 3600,
        path=f"{site.root}/ops",
        secure=site.secure(request.scope),
        httponly=True,
        samesite="strict",
    )
    return answer


def logout(request: Request, form: Fields) -> Response:
    """End the session in this browser."""
    site: Site = request.app.state.site
    key(site)
    check_post(request, form)
    answer = to_login(site)
    answer.delete_cookie(COOKIE, path=f"{site.root}/ops", httponly=True, samesite="strict")
    return answer
