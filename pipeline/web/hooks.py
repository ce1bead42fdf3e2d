"""What other servers post to us: reports of bounces and complaints, as the mails that they are."""

from __future__ import annotations

import hmac

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.email import bounce
from pipeline.errors import RefusedError
from pipeline.web import forms
from pipeline.web.site import Site


async def bounced(request: Request) -> Response:
    """Take one report (message/rfc822 as the body, a bearer token). Again is harmless: 200 says what it was."""
    site: Site = request.app.state.site
    token = site.settings.bounce.webhook_token
    if token is None:
        raise HTTPException(404)
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    wanted = token.get_secret_value().encode()
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted):
        site.check_rate(request, "login")
        raise RefusedError("This token opens nothing", why="bounce.webhook_token is another one", status=401)
    report = await forms.body(request, bounce.MAX_BYTES)
    return JSONResponse(await run_in_threadpool(_take, site, report))


def _take(site: Site, report: bytes) -> dict[str, object]:
    with site.db.begin() as conn:
        happened = bounce.take(conn, site.settings, report, site.clock.now())
    return {"kind": happened.kind, "suppressed": happened.suppressed}
