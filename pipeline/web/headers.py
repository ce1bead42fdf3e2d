"""What every answer carries, so that no page can forget it: a strict content policy, and no trace of token pages."""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECRET = re.compile(r"/(?:c|d|f|hooks|p|r|u|ops|subscribe)(?:/|$)")
"""Paths that carry a token or show what is not everybody's: never stored, never indexed."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def content_policy(*, secure: bool) -> str:
    """The pages' own style and script, audio of publishers once a reader plays it, and nothing else.

    `secure`: the site is reached by https, so audio is too.
    """
    media = "media-src 'self' https:" + ("" if secure else " http:")
    return (
        f"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; {media}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""For a digest shown as it was sent: mail carries its styles inline. No script, no picture, no form."""


class Headers:
    """ASGI middleware around the whole application, its error pages included."""

    def __init__(self, app: ASGIApp, secure: Callable[[Scope], bool]):
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), scope, path)
            await send(message)

        await self._app(scope, receive, guarded)

    def _add(self, headers: MutableHeaders, scope: Scope, path: str) -> None:
        for name, value in _ALWAYS.items():
            headers.setdefault(name, value)
        secure = self._secure(scope)
        headers.setdefault("Content-Security-Policy", content_policy(secure=secure))
        if secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        if SECRET.match(path):
            headers["Cache-Control"] = "no-store"
            headers["X-Robots-Tag"] = "noindex, nofollow"
        else:
            headers.setdefault("Cache-Control", "no-cache")
