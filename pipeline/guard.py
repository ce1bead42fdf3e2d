"""The guard on connections: which addresses and ports may be reached.

The address is checked when the connection is made, with the address that is then used: a name that answers
differently the second time (rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from functools import lru_cache

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

PORTS_OF_OTHERS = frozenset(
    (1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
     111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526, 530, 531,
     532, 540, 548, 554, 556, 563, 587, 601, 636, 853, 873, 989, 990, 993, 995, 1433, 1521, 1719, 1720, 1723, 2049,
     2375, 2379, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669,
     6679, 6697, 9200, 10080, 11211, 27017)
)  # fmt: skip
"""Ports of mail, names, files, chats and databases: the Fetch standard's bad ports and some servers that take any line
for a command. No feed is there, and a request could be read as something else."""


class Refusal(OSError):  # noqa: N818 - an answer, not a fault
    """The guard's no."""


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
    listed = allow_hosts if isinstance(allow_hosts, frozenset) else listing(allow_hosts)
    name = f"[{host.lower()}]" if ":" in host else host.lower()
    return host.lower() in listed or name in listed or f"{name}:{port}" in listed


def listing(allow_hosts: Iterable[str]) -> frozenset[str]:
    """The operator's list in the form that `allowed` looks up without reading all of it."""
    return frozenset(entry.lower() for entry in allow_hosts)


def checked_addresses(host: str, port: int, allow_hosts: Iterable[str]) -> list[str]:
    """Resolve a host and check every address. Raises Refusal (one bad address refuses the name), else OSError."""
    listed = allowed(host, port, allow_hosts)
    if port in PORTS_OF_OTHERS and not listed:
        raise Refusal(f"{host} is not reached: port {port} is not one of web servers")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise OSError(f"{host} has no address: {e}") from e
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not listed:
        for address in addresses:
            why = refusal(address)
            if why:
                where = "" if address == host else f"{host} is not reached: "
                raise Refusal(f"{where}{why}; list it in feed.allow_hosts to permit it")
    return addresses[:MOST_ADDRESSES]


def is_literal(host: str) -> bool:
    """Whether a host is an address already, so that nobody has to be asked for it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(1)
def tls() -> ssl.SSLContext:
    """Certificates are checked against the shipped roots, whatever the environment says. Reading them takes 30 ms."""
    import certifi

    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
