"""Signed tokens of the links in our mails: who may do what, without a password.

A token says who (subscriber id and nonce) and what for; each purpose has a salt of its own, so a token opens nothing
but what it was made for. A new nonce makes all older links of that subscriber useless. Keys come from `secret_key`,
newest first: the newest signs, the others still verify.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from pipeline.errors import RefusedError
from pipeline.secretbox import secret_keys
from pipeline.settings import Settings

PURPOSES: dict[str, int | None] = {
    "unsubscribe": None,
    "preferences": None,
    "confirm": 48 * 3600,
    "feedback": None,
    "view": None,
    "feed": None,
}
"""Each purpose with the seconds after which its tokens end; None is never."""
VERDICTS = ("more", "less", "wrong")
"""What a feedback token's `verdict` may be; its `insight` is the insight's id."""
MAX_LENGTH = 600


def make(
    settings: Settings, purpose: str, subscriber_id: int, nonce: str, now: datetime | None = None, **extra: int | str
) -> str:
    """A URL-safe token. Tokens that end carry their time; the others are the same each time. Raises ConfigError."""
    ends = PURPOSES[purpose] is not None
    at = int((now or datetime.now(UTC)).timestamp()) if ends else 0
    return _made(_secret(settings), purpose, subscriber_id, nonce, at, tuple(extra.items()))


def read(
    settings: Settings, purpose: str, token: str, max_age_s: float | None = None, *, now: datetime | None = None
) -> dict[str, Any]:
    """What a token says: `subscriber_id`, `nonce` and the extras it was made with. The caller compares the nonce.

    `max_age_s` overrides the purpose's own end. Raises RefusedError when it is forged, cut, of another purpose or
    too old, ConfigError without a secret key.
    """
    broken = RefusedError("This link is not valid", why="its signature does not fit", hint="use the newest mail's link")
    if len(token) > MAX_LENGTH or not token.isascii():
        raise broken
    try:
        said = _serializer(_secret(settings), purpose).loads(token)
    except BadData as e:
        raise broken from e
    who, nonce, at, extra = said if len(said) == 4 else [*said, 0, {}]
    age = max_age_s if max_age_s is not None else PURPOSES[purpose]
    if age is not None and (now or datetime.now(UTC)).timestamp() - at > age:
        raise RefusedError("This link is too old", why=f"it held for {age / 3600:.0f} hours", hint="ask for a new one")
    return dict(extra) | {"subscriber_id": int(who), "nonce": str(nonce)}


@lru_cache(maxsize=256)
def _made(
    keys: tuple[str, ...], purpose: str, subscriber_id: int, nonce: str, at: int, extra: tuple[tuple[str, Any], ...]
) -> str:
    """A mail has each link twice, in its HTML and in its text."""
    said: list[Any] = [subscriber_id, nonce]
    if at or extra:
        said += [at, dict(extra)]
    return str(_serializer(keys, purpose).dumps(said))


def _secret(settings: Settings) -> tuple[str, ...]:
    return tuple(secret_keys(settings).values())


@lru_cache(maxsize=64)
def _serializer(newest_first: tuple[str, ...], purpose: str) -> URLSafeSerializer:
    if purpose not in PURPOSES:
        raise ValueError(f"no purpose {purpose!r}")
    # itsdangerous signs with the last of its keys.
    return URLSafeSerializer(newest_first[::-1], salt=f"podsift {purpose}")
