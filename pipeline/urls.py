"""Addresses: what may be asked for, where it leads, and how it is shown. Pure, and nothing to import.

Two programs that read one address differently are a hole in a guard, so an address is taken apart here once, and what
is connected to is made of the parts.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from pipeline.errors import PermanentError, RefusedError

MAX_HOPS = 10
LONGEST = 8192
REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_AS_IT_IS = "!$%&'()*+,-./:;=@[]_~?|^"
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^\x00-\x20\x7f\\<>\"{}|^`]+")


@dataclass(frozen=True, slots=True)
class Target:
    """What is connected to and asked for. The host is ASCII in lower case, IPv6 without brackets.

    The path includes the query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@lru_cache(4096)
def target(url: str) -> Target:
    """Take an address apart. Raises RefusedError for what is not http(s), has no host, or can be read in two ways."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _host(parts.hostname or "")
        query = f"?{quote(parts.query, safe=_AS_IT_IS)}" if parts.query else ""
        path = quote(parts.path or "/", safe=_AS_IT_IS) + query
    except ValueError as e:
        raise RefusedError(f"{redact(url)} is not an address that can be fetched", why=str(e)) from e
    if parts.scheme not in _PORTS or not host or port == 0:
        raise RefusedError(f"{redact(url)} is not fetched", why="only http and https addresses are")
    if not _AUTHORITY.fullmatch(parts.netloc) or len(url) > LONGEST:
        raise RefusedError(f"{redact(url)[:200]} is not an address that can be fetched")
    return Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, path)


def _host(host: str) -> str:
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone is one of this machine's own networks")
        return str(ipaddress.IPv6Address(host))
    if not host.isascii():
        import idna  # its tables are large, and few addresses need them

        host = idna.encode(host, uts46=True).decode()
    if host and not _NAME.fullmatch(host):
        raise ValueError("its host name has characters that no host name has")
    return host.lower()


def check_url(url: str) -> str:
    """The address itself; raises RefusedError for what is not fetched."""
    target(url)
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


def same_origin(a: str, b: str) -> bool:
    """Scheme, host and port agree. Raises RefusedError."""
    return target(a).origin == target(b).origin


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


class Way:
    """A request's way through redirects: `at` is where it is now, `headers()` what may be sent there."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None):
        """Credentials in the address become a header. Raises RefusedError."""
        self.at, user, password = split_credentials(check_url(url))
        self._first = self.at
        self._headers = (basic(user, password or "") if user is not None else {}) | dict(headers or {})
        self._redirects: list[tuple[int, str]] = []

    def headers(self) -> dict[str, str]:
        """Credentials go to the origin they were given for, and nowhere else."""
        if not self._redirects or same_origin(self.at, self._first):
            return self._headers
        return {k: v for k, v in self._headers.items() if k.lower() != "authorization"}

    def follow(self, status: int, location: str | None) -> bool:
        """Go on to where a redirect points; False when this answer is the end.

        Raises RefusedError and PermanentError for a way that leads nowhere or does not end.
        """
        if status not in REDIRECTS or location is None:
            return False
        if len(self._redirects) >= MAX_HOPS:
            raise PermanentError(f"{self.at} redirects more than {MAX_HOPS} times")
        try:
            found = urljoin(self.at, location)
        except ValueError as e:
            raise RefusedError(f"{self.at} redirects to what is no address") from e
        self._redirects.append((status, self.at))
        # Credentials that a redirect brings along are nobody's.
        self.at = split_credentials(check_url(found))[0]
        return True

    def hops(self) -> Hops:
        return Hops(tuple(self._redirects), self.at)
