"""Small secrets at rest: AES-256-GCM with a key made from `secret_key`, whose id stands in front of each.

A sealed text is `v1.<key id>.<base64url of nonce and ciphertext>`. With a new key put before the old one, what the old
one sealed still opens; `podsift feed rekey` seals everything again with the newest, and then the old one can go.
"""

from __future__ import annotations

import base64
import os
import re
from binascii import Error as Base64Error
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.errors import ConfigError
from pipeline.settings import Settings

_NONCE = 12
_PAIR = re.compile(r"([A-Za-z0-9_-]{1,20}):(\S{16,})")
_FORM = "secret_key is id:key pairs separated by commas, newest first, each key of 16 characters or more"
_HINT = "podsift init writes a podsift.toml with a key; or set PODSIFT_SECRET_KEY=k1:<32 random characters>"


def secret_keys(settings: Settings) -> dict[str, str]:
    """The keys by their id, newest first. Raises ConfigError when there is none or its form is wrong."""
    if settings.secret_key is None:
        raise ConfigError("No secret_key is set, and neither credentials nor links are safe without one", hint=_HINT)
    found: dict[str, str] = {}
    for part in settings.secret_key.get_secret_value().split(","):
        m = _PAIR.fullmatch(part.strip())
        if m is None or m[1] in found:
            raise ConfigError("secret_key is wrong", why=_FORM, hint=_HINT)
        found[m[1]] = m[2]
    return found


class SecretBox:
    """Seals and opens texts for one purpose; what was sealed for another purpose does not open."""

    def __init__(self, keys: Mapping[str, str], purpose: str):
        self._purpose = purpose.encode()
        self._newest = next(iter(keys))
        self._ciphers = {name: AESGCM(self._derived(key)) for name, key in keys.items()}

    @classmethod
    def of(cls, settings: Settings, purpose: str) -> SecretBox:
        """With the configured keys. Raises ConfigError."""
        return cls(secret_keys(settings), purpose)

    def _derived(self, key: str) -> bytes:
        return HKDF(SHA256(), 32, salt=None, info=b"podsift secretbox v1 " + self._purpose).derive(key.encode())

    def seal(self, text: str) -> str:
        """Encrypt with the newest key."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._ciphers[self._newest].encrypt(nonce, text.encode(), self._purpose)
        return f"v1.{self._newest}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str) -> str:
        """Decrypt. Raises ConfigError when the key is not there any more, or it is not what was sealed."""
        version, _, rest = sealed.partition(".")
        name, _, data = rest.partition(".")
        cipher = self._ciphers.get(name) if version == "v1" else None
        if cipher is None:
            raise ConfigError(
                f"A stored secret was sealed with key {name[:20]!r}, which secret_key does not hold",
                hint="put that key behind the newest one in secret_key, or give the credentials again",
            )
        try:
            raw = base64.urlsafe_b64decode(data)
            return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], self._purpose).decode()
        except (InvalidTag, Base64Error, ValueError) as e:
            raise ConfigError(
                "A stored secret does not open",
                why="its key was changed, or the row is damaged",
                hint="restore the former secret_key, or give the credentials again",
            ) from e

    def newest(self, sealed: str) -> bool:
        """Whether this was sealed with the newest key."""
        return sealed.startswith(f"v1.{self._newest}.")
