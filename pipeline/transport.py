"""The one way to documents and audio, with httpx: redirects, bodies, credentials. Feeds go through `wire`.

`guard` checks each connection. No proxy from the environment is used, no cookie is kept, and a compressed body is
unpacked no further than its limit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx

from pipeline.answer import Body as Body
from pipeline.answer import retry_after as retry_after
from pipeline.backend import GuardedBackend, until
from pipeline.errors import FetchError, GoneError, PermanentError, RefusedError
from pipeline.guard import Refusal, tls
from pipeline.http1 import request_headers
from pipeline.settings import FeedSettings
from pipeline.urls import Hops, Way, target
from pipeline.urls import basic as basic
from pipeline.urls import check_url as check_url
from pipeline.urls import redact as redact
from pipeline.urls import split_credentials as split_credentials


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def client(feed: FeedSettings, *, timeout_s: float = 20.0) -> httpx.Client:
    """A guarded client; `timeout_s` is for one step (10 s to connect). Redirects are ours to follow."""
    transport = httpx.HTTPTransport()
    transport._pool = httpcore.ConnectionPool(ssl_context=tls(), network_backend=GuardedBackend(feed.allow_hosts))
    timeout = httpx.Timeout(timeout_s, connect=10.0)
    return httpx.Client(
        transport=transport,
        headers=request_headers(feed),
        timeout=timeout,
        cookies=_no_cookies(),
        trust_env=False,
    )


def failed(url: str, e: Exception) -> FetchError | RefusedError:
    """An error of a connection as one of ours."""
    cause: BaseException | None = e
    while cause is not None:
        if isinstance(cause, Refusal):
            return RefusedError(f"{redact(url)} is refused", why=str(cause))
        cause = cause.__cause__ or cause.__context__
    if isinstance(e, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return RefusedError(f"{redact(url)} is not an address that can be fetched", why=str(e))
    what = "timed out" if isinstance(e, httpx.TimeoutException) else "could not be reached"
    return FetchError(f"{redact(url)} {what}", why=str(e) or type(e).__name__)


@contextmanager
def stream(
    c: httpx.Client, url: str, headers: Mapping[str, str] | None = None, *, timeout_s: float | None = None
) -> Iterator[tuple[httpx.Response, Hops]]:
    """GET with redirects followed by hand; the body is not read yet. Raises FetchError, RefusedError.

    `timeout_s` bounds everything up to the end of the `with` block, however slowly the bytes drip.
    """
    way = Way(url, headers)
    before = until.get()
    if timeout_s is not None:
        until.set(time.monotonic() + timeout_s)
    try:
        while True:
            try:
                request = c.build_request("GET", target(way.at).url, headers=way.headers())
                response = c.send(request, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL, Refusal) as e:
                raise failed(way.at, e) from e
            try:
                if not way.follow(response.status_code, response.headers.get("location")):
                    yield response, way.hops()
                    return
            except httpx.HTTPError as e:
                raise failed(way.at, e) from e
            finally:
                response.close()
    finally:
        until.set(before)


@dataclass(frozen=True, slots=True)
class Got:
    """A small document."""

    body: bytes
    content_type: str | None
    final_url: str


def get(c: httpx.Client, url: str, *, max_bytes: int, timeout_s: float) -> Got:
    """Fetch a small document whole. Raises FetchError, GoneError, RefusedError."""
    with stream(c, url, timeout_s=timeout_s) as (response, hops):
        raise_for_status(url, response)
        body = Body(url, response.headers, max_bytes)
        for raw in response.iter_raw():
            body.add(raw)
        return Got(body.whole(), response.headers.get("content-type"), hops.final_url)


def raise_for_status(url: str, response: httpx.Response) -> None:
    """2xx passes; 404 and 410 are gone, 429 and 5xx may pass (Retry-After is handed on), the rest is final."""
    status = response.status_code
    if 200 <= status < 300:
        return
    why = f"the server answered {status}"
    if status in (404, 410):
        raise GoneError(f"{redact(url)} is not there", why=why)
    if status in (408, 425, 429) or status >= 500:
        wait = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
        why += f" and asks to wait {wait / 60:.0f} minutes" if wait else ""
        raise FetchError(f"{redact(url)} is not to be had now", why=why, retry_after_s=wait)
    raise PermanentError(f"{redact(url)} is refused to us", why=why)
