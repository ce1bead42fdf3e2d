"""Private feeds: what is secret of an address is stored sealed, sent to its own origin only, and never shown.

Two kinds: user and password (Basic auth), and an address that is itself the key (a token in its query or path). Of the
second the row keeps a public form, `https://host/feed?auth=private-3f2a1c`, which nothing ever fetches.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pipeline.errors import ConfigError, PodsiftError
from pipeline.feed.fetch import FetchedFeed
from pipeline.records import ParsedFeed
from pipeline.settings import Settings
from pipeline.urls import split_credentials

if TYPE_CHECKING:
    from pipeline.secretbox import SecretBox

PURPOSE = "feed credentials"
HIDDEN = "***"
_TOKEN = re.compile(
    r"(?:.*[_-])?(?:auth|token|key|apikey|secret|sig|signature|pass|password|passwd|pwd|pw|session|jwt|hmac|uuid|"
    r"member|membership|subscriber|private)(?:[_-](?:hash|id|time|\d+))?",
    re.IGNORECASE,
)
"""Names of query parameters that carry a secret."""
_ADDRESS = re.compile(r"(https?://[^\s/?#'\"<>]+)([^\s?#'\"<>]*)([?#][^\s'\"<>]*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens a private feed. `url` is the whole address where that is the secret."""

    origin: str
    user: str | None = None
    password: str | None = None
    url: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.origin})"

    def dump(self) -> str:
        """As text, to be sealed."""
        return json.dumps({"origin": self.origin, "user": self.user, "password": self.password, "url": self.url})


@dataclass(frozen=True, slots=True)
class Access:
    """How a feed is fetched: the real address, and user and password for its own origin."""

    url: str
    auth: tuple[str, str] | None = None
    hidden: tuple[str, ...] = ()
    """Texts that must not be seen; the longest first."""
    secret_path: bool = False
    """The secret is, or may be, in a path: of an address nothing but its host is shown."""

    def __repr__(self) -> str:
        return "Access(***)"

    def scrub(self, text: str) -> str:
        """A text without what is secret."""
        for secret in self.hidden:
            text = text.replace(secret, HIDDEN)
        # Where a private feed redirects to is often signed, with a secret that nobody has seen before.
        return _ADDRESS.sub(self._shown, text) if self.hidden else text

    def _shown(self, m: re.Match[str]) -> str:
        path = HIDDEN if self.secret_path and len(m[2]) > 1 else m[2].removeprefix("/")
        return m[1] + ("/" if m[2] else "") + path + (f"{m[3][0]}{HIDDEN}" if m[3] else "")

    def scrubbed(self, error: PodsiftError) -> PodsiftError:
        """The same error without what is secret."""
        if not self.hidden:
            return error
        error.message = self.scrub(error.message)
        cause = error.cause()
        error.why = None if cause is None else self.scrub(cause)
        error.args = (error.message,)
        error.__cause__ = error.__context__ = None
        return error

    def concealed(self, got: FetchedFeed, stored: str) -> FetchedFeed:
        """An answer as rows and logs may keep it. `stored` is the feed's own address as its row has it.

        A secret address never moves: the redirect's target is as secret, and the publisher keeps redirecting.
        """
        if self.url == stored:
            return got
        final = stored if got.final_url == self.url else self.scrub(got.final_url)
        return replace(got, final_url=final, permanent_url=None)

    def settled(self, parsed: ParsedFeed, stored: str) -> ParsedFeed:
        """A document of a private feed proposes no other address: it would be public, or a secret in a plain row."""
        private = self.auth is not None or self.url != stored
        return replace(parsed, new_feed_url=None) if private and parsed.new_feed_url else parsed


def origin(url: str) -> str | None:
    """Scheme, host and port, in lower case; None for what is no web address."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return f"{parts.scheme}://{parts.hostname}:{port}"


def take_apart(
    url: str, *, user: str | None = None, password: str | None = None, private: bool = False
) -> tuple[str, Credentials | None]:
    """An address as it is stored, and its credentials when it has any.

    User and password may stand in it; a query with a parameter named like a token is secret. `private`: so is
    everything behind the host, path and query.
    """
    bare, own_user, own_password = split_credentials(url)
    user, password = (own_user, own_password) if user is None else (user, password)
    home = origin(bare)
    if home is None:
        return bare, None
    shown = _hidden_path(bare) if private else _hidden_query(bare)
    if shown == bare and user is None:
        return bare, None
    return shown, Credentials(home, user, password or "" if user is not None else None, bare if shown != bare else None)


def _mark() -> str:
    return f"private-{secrets.token_hex(4)}"


def _hidden_path(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{_mark()}", "", ""))


def _hidden_query(url: str) -> str:
    parts = urlsplit(url)
    pieces = [piece.partition("=") for piece in parts.query.split("&")]
    shown = [f"{k}={_mark()}" if v and _TOKEN.fullmatch(unquote(k)) else f"{k}{eq}{v}" for k, eq, v in pieces]
    query = "&".join(shown)
    return url if query == parts.query else urlunsplit(parts._replace(query=query))


def _box(settings: Settings) -> SecretBox:
    from pipeline.secretbox import SecretBox  # most feeds are public, and its ciphers take 10 MB

    return SecretBox.of(settings, PURPOSE)


def seal(credentials: Credentials, settings: Settings) -> str:
    """For the feed's row. Raises ConfigError when there is no secret_key."""
    return _box(settings).seal(credentials.dump())


def unseal(sealed: str, settings: Settings) -> Credentials:
    """From the feed's row. Raises ConfigError."""
    try:
        found = json.loads(_box(settings).open(sealed))
        return Credentials(found["origin"], found["user"], found["password"], found["url"])
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError("A feed's stored credentials cannot be read", hint="give them again: feed set --user") from e


def reached(shown: str, found: Credentials | None) -> Access:
    """How to fetch an address that was just taken apart."""
    if found is None:
        return Access(shown)
    auth = None if found.user is None else (found.user, found.password or "")
    hidden_path = found.url is not None and urlsplit(found.url).path != urlsplit(shown).path
    return Access(found.url or shown, auth, _secrets(found), hidden_path)


def which(sealed: Mapping[int, str], found: Credentials, settings: Settings) -> int | None:
    """The feed whose secret address this is. Those whose key is lost are nobody's."""
    for feed_id, text in sealed.items():
        try:
            if unseal(text, settings).url == found.url:
                return feed_id
        except ConfigError:
            continue
    return None


def is_secret_address(sealed: str, settings: Settings) -> bool:
    """Whether the address itself is the secret; also when that cannot be known."""
    try:
        return unseal(sealed, settings).url is not None
    except ConfigError:
        return True


def split(url: str) -> tuple[str, str | None, str | None]:
    """The address without user and password, then these."""
    return split_credentials(url)


def access(url: str, sealed: str | None, settings: Settings) -> Access:
    """How to fetch a stored feed. Raises ConfigError when its credentials do not open.

    An address that has moved to another origin gets none of them.
    """
    if sealed is None:
        return Access(url)
    found = unseal(sealed, settings)
    if found.origin != origin(url):
        return Access(url, hidden=_secrets(found), secret_path=found.url is not None)
    return reached(url, found)


def _secrets(c: Credentials) -> tuple[str, ...]:
    found = {c.password or ""}
    if c.url:
        parts = urlsplit(c.url)
        found |= {c.url, parts.query, *(v for _, _, v in (p.partition("=") for p in parts.query.split("&")))}
        found |= {parts.path, *parts.path.split("/")}
    # A short piece ("rss", "1") is no secret, and hiding it would make every message unreadable.
    long = {s for s in found if len(s) >= 8}
    return tuple(sorted(long | {unquote(s) for s in long} | {quote(s, safe="") for s in long}, key=len, reverse=True))


def with_auth(url: str, credentials: Credentials | None) -> str:
    """An enclosure's address with user and password when it lies at the feed's own origin."""
    if credentials is None or credentials.user is None or origin(url) != credentials.origin:
        return url
    parts = urlsplit(split_credentials(url)[0])
    login = f"{quote(credentials.user, safe='')}:{quote(credentials.password or '', safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def relogin(url: str, sealed: str | None, user: str, password: str, settings: Settings) -> str:
    """New user and password for a stored feed; a secret address stays. Raises ConfigError."""
    before = None if sealed is None else unseal(sealed, settings)
    home = origin(url) or ""
    return seal(Credentials(home, user, password, before.url if before and before.origin == home else None), settings)


def resealed(sealed: Mapping[int, str], settings: Settings) -> dict[int, str]:
    """By feed, what is to be stored after a new key was put in front. Raises ConfigError."""
    box = _box(settings)
    return {i: box.seal(box.open(text)) for i, text in sealed.items() if not box.newest(text)}


@contextmanager
def hiding(*urls: str | None) -> Iterator[None]:
    """Errors of ours that leave the block do not show the queries of these addresses."""
    found = {urlsplit(u).query for u in urls if u and urlsplit(u).query}
    try:
        yield
    except PodsiftError as e:
        raise Access("", hidden=tuple(found)).scrubbed(e) from None


def masked(url: str) -> str:
    """An address for the eye: no user, and no value in its query, where a private enclosure has its token."""
    bare = split_credentials(url)[0]
    try:
        parts = urlsplit(bare)
    except ValueError:
        return bare
    query = "&".join(f"{k}={HIDDEN}" if v else k for k, _, v in (p.partition("=") for p in parts.query.split("&")))
    return urlunsplit(parts._replace(query=query))
