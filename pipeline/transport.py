"""The one connection layer for everything fetched: feeds, audio, transcripts.

The address is checked when the connection is made, with the address that is then used, on every hop: a name that
answers differently the second time (rebinding) gains nothing. No proxy from the environment is used.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpcore
import httpx
from httpcore._backends.anyio import AnyIOBackend
from httpcore._backends.sync import SyncBackend

from pipeline import __version__
from pipeline.errors import FetchError, GoneError, PermanentError, RefusedError
from pipeline.settings import FeedSettings

MAX_HOPS = 10
REDIRECTS = (301, 302, 303, 307, 308)
_REFUSED = [ipaddress.ip_network(n) for n in ("100.64.0.0/10", "240.0.0.0/4", "192.0.0.0/24", "198.18.0.0/15")]
_EMBEDS = [ipaddress.ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")]


class Refusal(httpcore.ConnectError):
    """Carries a refusal through httpx as what it is."""


def refusal(address: str) -> str | None:
    """Why this address must not be reached, or None."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return f"{address} is not an address"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return refusal(str(ip.ipv4_mapped))
        if any(ip in net for net in _EMBEDS):
            return f"{address} embeds an IPv4 address"
        if ip.is_site_local:
            return f"{address} is a site-local address"
    elif any(ip in net for net in _REFUSED):
        return f"{address} is not a public address"
    if ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return f"{address} is not a public address"
    return None


def allowed(host: str, port: int, allow_hosts: Iterable[str]) -> bool:
    """Whether the operator listed this host, as `host` or `host:port`."""
    listed = {entry.lower() for entry in allow_hosts}
    return host.lower() in listed or f"{host.lower()}:{port}" in listed


def checked_addresses(host: str, port: int, allow_hosts: Iterable[str]) -> list[str]:
    """Resolve a host and check every address; raises Refusal. One bad address refuses the name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as e:
        raise httpcore.ConnectError(f"{host} has no address: {e}") from e
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allowed(host, port, allow_hosts):
        for address in addresses:
            why = refusal(address)
            if why:
                raise Refusal(f"{host} is not reached: {why}; list it in feed.allow_hosts to permit it")
    return addresses


class _GuardedBackend(SyncBackend):
    def __init__(self, allow_hosts: Sequence[str]):
        self._allow = tuple(allow_hosts)

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return _first(
            [
                lambda a=a: super(_GuardedBackend, self).connect_tcp(a, port, *args, **kwargs)
                for a in self._look(host, port)
            ]
        )

    def _look(self, host: str, port: int) -> list[str]:
        return checked_addresses(host, port, self._allow)


def _first(attempts: Sequence[Any]) -> httpcore.NetworkStream:
    for attempt in attempts[:-1]:
        try:
            return attempt()  # type: ignore[no-any-return]
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            continue
    return attempts[-1]()  # type: ignore[no-any-return]


class _GuardedAsyncBackend(AnyIOBackend):
    def __init__(self, allow_hosts: Sequence[str]):
        self._allow = tuple(allow_hosts)

    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        import anyio.to_thread

        addresses = await anyio.to_thread.run_sync(checked_addresses, host, port, self._allow)
        for address in addresses[:-1]:
            try:
                return await super().connect_tcp(address, port, *args, **kwargs)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await super().connect_tcp(addresses[-1], port, *args, **kwargs)


def _headers(feed: FeedSettings) -> dict[str, str]:
    return {"User-Agent": f"podsift/{__version__} (+{feed.contact})"}


def client(feed: FeedSettings, *, timeout_s: float = 20.0) -> httpx.Client:
    """A guarded client; `timeout_s` is for one step (10 s to connect). Redirects are ours to follow."""
    transport = httpx.HTTPTransport()
    transport._pool = httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False), network_backend=_GuardedBackend(feed.allow_hosts)
    )
    timeout = httpx.Timeout(timeout_s, connect=10.0)
    return httpx.Client(transport=transport, headers=_headers(feed), timeout=timeout, trust_env=False)


def async_client(feed: FeedSettings, *, timeout_s: float = 20.0) -> httpx.AsyncClient:
    """The same for asyncio."""
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False), network_backend=_GuardedAsyncBackend(feed.allow_hosts)
    )
    timeout = httpx.Timeout(timeout_s, connect=10.0)
    return httpx.AsyncClient(transport=transport, headers=_headers(feed), timeout=timeout, trust_env=False)


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


@dataclass(frozen=True, slots=True)
class Hops:
    """The way a request went: `(status, url)` of each redirect, and where it ended."""

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


def _next(request: httpx.Request, response: httpx.Response, seen: int) -> str | None:
    """The next address, None when this is the end. Raises on a way that does not end."""
    if response.status_code not in REDIRECTS or "location" not in response.headers:
        return None
    if seen >= MAX_HOPS:
        raise PermanentError(f"{redact(str(request.url))} redirects more than {MAX_HOPS} times")
    return check_url(urljoin(str(request.url), response.headers["location"]))


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
    c: httpx.Client, url: str, headers: Mapping[str, str] | None = None
) -> Iterator[tuple[httpx.Response, Hops]]:
    """GET with redirects followed by hand; the body is not read yet. Raises FetchError, RefusedError."""
    at, hops = check_url(url), list[tuple[int, str]]()
    while True:
        try:
            request = c.build_request("GET", at, headers=_headers_for(at, url, headers or {}))
            response = c.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise failed(at, e) from e
        try:
            target = _next(request, response, len(hops))
            if target is None:
                yield response, Hops(tuple(hops), at)
                return
        except httpx.HTTPError as e:
            raise failed(at, e) from e
        finally:
            response.close()
        hops.append((response.status_code, at))
        at = target


@asynccontextmanager
async def astream(
    c: httpx.AsyncClient, url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[httpx.Response, Hops]]:
    """The same for asyncio."""
    at, hops = check_url(url), list[tuple[int, str]]()
    while True:
        try:
            request = c.build_request("GET", at, headers=_headers_for(at, url, headers or {}))
            response = await c.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise failed(at, e) from e
        try:
            target = _next(request, response, len(hops))
            if target is None:
                yield response, Hops(tuple(hops), at)
                return
        except httpx.HTTPError as e:
            raise failed(at, e) from e
        finally:
            await response.aclose()
        hops.append((response.status_code, at))
        at = target


@dataclass(frozen=True, slots=True)
class Got:
    """A small document."""

    body: bytes
    content_type: str | None
    final_url: str


def get(c: httpx.Client, url: str, *, max_bytes: int, timeout_s: float) -> Got:
    """Fetch a small document whole. Raises FetchError, GoneError, RefusedError."""
    until = time.monotonic() + timeout_s
    with stream(c, url) as (response, hops):
        raise_for_status(url, response.status_code)
        parts: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > max_bytes:
                raise RefusedError(f"{redact(url)} is larger than {max_bytes} bytes")
            if time.monotonic() > until:
                raise FetchError(f"{redact(url)} took longer than {timeout_s:.0f} s")
            parts.append(chunk)
        return Got(b"".join(parts), response.headers.get("content-type"), hops.final_url)


def raise_for_status(url: str, status: int) -> None:
    """2xx passes; 404 and 410 are gone, 429 and 5xx may pass, the rest is final."""
    if 200 <= status < 300:
        return
    if status in (404, 410):
        raise GoneError(f"{redact(url)} is not there", why=f"the server answered {status}")
    if status in (408, 425, 429) or status >= 500:
        raise FetchError(f"{redact(url)} is not to be had now", why=f"the server answered {status}")
    raise PermanentError(f"{redact(url)} is refused to us", why=f"the server answered {status}")
