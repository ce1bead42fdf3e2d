"""The guard on connections: which addresses may be reached, and how long a request may hold one.

The address is checked when the connection is made, with the address that is then used: a name that answers
differently the second time (rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any

import anyio.to_thread
import httpcore
from httpcore._backends.anyio import AnyIOBackend
from httpcore._backends.sync import SyncBackend

_REFUSED = [
    ipaddress.ip_network(n)
    for n in (
        "100.64.0.0/10",
        "240.0.0.0/4",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "3fff::/20",
        "5f00::/16",
    )
]
_EMBEDS = [
    ipaddress.ip_network(n)
    for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96")
]
_ISATAP = (0x00005EFE, 0x02005EFE)
"""Bits 64 to 95 of an ISATAP address (RFC 5214), whose last 32 are an IPv4 address."""
MOST_ADDRESSES = 4
"""A name may list hundreds, each worth a connect timeout."""

until: ContextVar[float] = ContextVar("until", default=math.inf)
"""The `time.monotonic()` at which the synchronous request of this thread has to be over."""


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
        if any(ip in net for net in _EMBEDS) or (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
            return f"{address} embeds an IPv4 address"
        if ip.is_site_local:
            return f"{address} is a site-local address"
    if any(ip in net for net in _REFUSED if net.version == ip.version):
        return f"{address} is not a public address"
    if ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return f"{address} is not a public address"
    return None


def allowed(host: str, port: int, allow_hosts: Iterable[str]) -> bool:
    """Whether the operator listed this host, as `host` or `host:port`; IPv6 as `[::1]` or `[::1]:8080`."""
    listed = {entry.lower() for entry in allow_hosts}
    name = f"[{host.lower()}]" if ":" in host else host.lower()
    return host.lower() in listed or name in listed or f"{name}:{port}" in listed


def checked_addresses(host: str, port: int, allow_hosts: Iterable[str]) -> list[str]:
    """Resolve a host and check every address; raises Refusal. One bad address refuses the name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise httpcore.ConnectError(f"{host} has no address: {e}") from e
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allowed(host, port, allow_hosts):
        for address in addresses:
            why = refusal(address)
            if why:
                raise Refusal(f"{host} is not reached: {why}; list it in feed.allow_hosts to permit it")
    return addresses[:MOST_ADDRESSES]


def _left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """The timeout of one step, cut to what is left of the whole request."""
    left = until.get() - time.monotonic()
    if left <= 0:
        raise error("the whole request took longer than it may")
    return timeout if math.isinf(left) else min(left, timeout if timeout is not None else left)


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step ends by the request's deadline: a server that drips bytes resets no clock."""

    def __init__(self, inner: httpcore.NetworkStream):
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class GuardedBackend(SyncBackend):
    """Connects to checked addresses only."""

    def __init__(self, allow_hosts: Sequence[str]):
        self._allow = tuple(allow_hosts)

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore.NetworkStream:
        *others, last = checked_addresses(host, port, self._allow)
        for address in others:
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                return _TimedStream(super().connect_tcp(address, port, left, *args, **kwargs))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        left = _left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(super().connect_tcp(last, port, left, *args, **kwargs))


class GuardedAsyncBackend(AnyIOBackend):
    """The same for asyncio, where `asyncio.timeout` bounds the whole request."""

    def __init__(self, allow_hosts: Sequence[str]):
        self._allow = tuple(allow_hosts)

    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        *others, last = await anyio.to_thread.run_sync(
            checked_addresses, host, port, self._allow, abandon_on_cancel=True
        )
        for address in others:
            try:
                return await super().connect_tcp(address, port, *args, **kwargs)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await super().connect_tcp(last, port, *args, **kwargs)
