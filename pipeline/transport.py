"""The one way to everything fetched: feeds, audio, transcripts. Redirects, bodies and credentials are handled here.

`guard` checks each connection. No proxy from the environment is used, no cookie is kept, and a compressed body is
unpacked no further than its limit.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpcore
import httpx

from pipeline import __version__
from pipeline.errors import FetchError, GoneError, PermanentError, RefusedError
from pipeline.guard import GuardedAsyncBackend, GuardedBackend, Refusal, until
from pipeline.settings import FeedSettings

MAX_HOPS = 10
REDIRECTS = (301, 302, 303, 307, 308)
MAX_RETRY_AFTER_S = 31 * 86400


def _headers(feed: FeedSettings) -> dict[str, str]:
    # gzip alone: it is what `Body` unpacks with a bound, and brotli or zstd reach ratios of many thousands.
    return {"User-Agent": f"podsift/{__version__} (+{feed.contact})", "Accept-Encoding": "gzip"}


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def client(feed: FeedSettings, *, timeout_s: float = 20.0) -> httpx.Client:
    """A guarded client; `timeout_s` is for one step (10 s to connect). Redirects are ours to follow."""
    transport = httpx.HTTPTransport()
    transport._pool = httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False), network_backend=GuardedBackend(feed.allow_hosts)
    )
    timeout = httpx.Timeout(timeout_s, connect=10.0)
    return httpx.Client(
        transport=transport, headers=_headers(feed), timeout=timeout, cookies=_no_cookies(), trust_env=False
    )


def async_client(feed: FeedSettings, *, timeout_s: float = 20.0) -> httpx.AsyncClient:
    """The same for asyncio."""
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False), network_backend=GuardedAsyncBackend(feed.allow_hosts)
    )
    timeout = httpx.Timeout(timeout_s, connect=10.0)
    return httpx.AsyncClient(
        transport=transport, headers=_headers(feed), timeout=timeout, cookies=_no_cookies(), trust_env=False
    )


def check_url(url: str) -> str:
    """Refuse what is not http(s) or has no host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise RefusedError(f"{redact(url)} is not an address that can be fetched") from e
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise RefusedError(f"{redact(url)} is not fetched", why="only http and https addresses are")
    return url


def redact(url: str) -> str:
    """A URL without its user and password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable address)"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def split_credentials(url: str) -> tuple[str, str | None, str | None]:
    """A URL without its credentials, then user and password as they are meant (percent-decoded)."""
    try:
        userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    except ValueError:
        return url, None, None
    if not at:
        return url, None, None
    user, _, password = userinfo.partition(":")
    return redact(url), unquote(user), unquote(password)


def basic(user: str, password: str) -> dict[str, str]:
    """The header that carries credentials (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@dataclass(frozen=True, slots=True)
class Hops:
    """The way a request went: `(status, url)` of each redirect, and where it ended; no URL has credentials."""

    redirects: tuple[tuple[int, str], ...]
    final_url: str

    @property
    def permanent_url(self) -> str | None:
        """Target of the leading run of 301 and 308, None when there is none."""
        urls = [url for _, url in self.redirects] + [self.final_url]
        run = 0
        while run < len(self.redirects) and self.redirects[run][0] in (301, 308):
            run += 1
        return urls[run] if run else None


def _first(url: str, headers: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
    """Where a request begins: the address without its credentials, which become a header."""
    bare, user, password = split_credentials(check_url(url))
    return bare, (basic(user, password or "") if user is not None else {}) | dict(headers or {})


def _next(at: str, response: httpx.Response, seen: int) -> str | None:
    """The next address, None when this is the end. Raises on a way that does not end."""
    if response.status_code not in REDIRECTS or "location" not in response.headers:
        return None
    if seen >= MAX_HOPS:
        raise PermanentError(f"{at} redirects more than {MAX_HOPS} times")
    try:
        target = urljoin(at, response.headers["location"])
    except ValueError as e:
        raise RefusedError(f"{at} redirects to what is no address") from e
    return split_credentials(check_url(target))[0]


def _same_origin(a: str, b: str) -> bool:
    x, y = httpx.URL(a), httpx.URL(b)
    return (x.scheme, x.host, x.port) == (y.scheme, y.host, y.port)


def _headers_for(url: str, first: str, headers: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() != "authorization" or _same_origin(url, first)}


def failed(url: str, e: Exception) -> FetchError | RefusedError:
    """An httpx error as one of ours."""
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
    begin, sent = _first(url, headers)
    at, hops = begin, list[tuple[int, str]]()
    before = until.get()
    if timeout_s is not None:
        until.set(time.monotonic() + timeout_s)
    try:
        while True:
            try:
                request = c.build_request("GET", at, headers=_headers_for(at, begin, sent))
                response = c.send(request, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL) as e:
                raise failed(at, e) from e
            try:
                target = _next(at, response, len(hops))
                if target is None:
                    yield response, Hops(tuple(hops), at)
                    return
            except httpx.HTTPError as e:
                raise failed(at, e) from e
            finally:
                response.close()
            hops.append((response.status_code, at))
            at = target
    finally:
        until.set(before)


@asynccontextmanager
async def astream(
    c: httpx.AsyncClient, url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[httpx.Response, Hops]]:
    """The same for asyncio; the caller bounds it with `asyncio.timeout`."""
    begin, sent = _first(url, headers)
    at, hops = begin, list[tuple[int, str]]()
    while True:
        try:
            request = c.build_request("GET", at, headers=_headers_for(at, begin, sent))
            response = await c.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise failed(at, e) from e
        try:
            target = _next(at, response, len(hops))
            if target is None:
                yield response, Hops(tuple(hops), at)
                return
        except httpx.HTTPError as e:
            raise failed(at, e) from e
        finally:
            await response.aclose()
        hops.append((response.status_code, at))
        at = target


class Body:
    """A body as it comes in, unpacked no further than `max_bytes`: 17 kB of gzip in gzip would become 3 GB."""

    def __init__(self, url: str, response: httpx.Response, max_bytes: int):
        self._url, self._most = redact(url), max_bytes
        self._parts: list[bytes] = []
        self.wire_bytes = self.bytes = 0
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise RefusedError(f"{self._url} comes encoded as {encoding[:40]!r}", why="only gzip was asked for")
        self._gzip = zlib.decompressobj(31) if "gzip" in encoding else None

    def add(self, raw: bytes) -> None:
        """Take bytes from the wire. Raises RefusedError when it grows too large."""
        self.wire_bytes += len(raw)
        while raw:
            piece, raw = (raw, b"") if self._gzip is None else self._unpack(self._gzip, raw)
            self.bytes += len(piece)
            if max(self.bytes, self.wire_bytes) > self._most:
                raise RefusedError(f"{self._url} is larger than {self._most} bytes decoded")
            self._parts.append(piece)

    def _unpack(self, gzip: zlib._Decompress, raw: bytes) -> tuple[bytes, bytes]:
        try:
            piece = gzip.decompress(raw, self._most - self.bytes + 1)
        except zlib.error as e:
            raise FetchError(f"{self._url} could not be unpacked", why=str(e)) from e
        rest = gzip.unused_data
        if gzip.eof and rest:
            # A gzip file may have several members; padding behind the last one means nothing.
            self._gzip = zlib.decompressobj(31) if rest.startswith(b"\x1f\x8b") else gzip
        return piece, rest if self._gzip is not gzip else b""

    def whole(self) -> bytes:
        """All of it. Raises FetchError when the packed data end early."""
        if self._gzip is not None and self.wire_bytes and not self._gzip.eof:
            raise FetchError(f"{self._url} ended early", why="the gzip data are cut off")
        return b"".join(self._parts)


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
        body = Body(url, response, max_bytes)
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
        raise FetchError(f"{redact(url)} is not to be had now", why=why, retry_after_s=wait)
    raise PermanentError(f"{redact(url)} is refused to us", why=why)


def retry_after(value: str | None, date: str | None) -> float | None:
    """Retry-After in seconds, given as seconds or as a date relative to the server's own Date; at most 31 days."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(min(int(value.strip()[:10]), MAX_RETRY_AFTER_S))
    try:
        at = parsedate_to_datetime(value)
        base = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return min(max((at - base).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError):
        return None
