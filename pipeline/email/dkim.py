"""DKIM signatures (RFC 6376): relaxed/relaxed, rsa-sha256, over the bytes as they are sent."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import parseaddr
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipeline.errors import ConfigError
from pipeline.settings import SmtpSettings

SIGNED = (
    "from", "to", "reply-to", "subject", "date", "message-id", "mime-version", "content-type", "list-id",
    "list-unsubscribe", "list-unsubscribe-post", "list-help", "list-archive", "auto-submitted", "feedback-id",
)  # fmt: skip
"""Headers that the signature covers; RFC 8058 wants the two of unsubscribing among them."""
OVERSIGNED = ("from", "to", "reply-to", "subject", "date")
"""Named once more than they occur, so that nobody can add one."""
_SPACE = re.compile(rb"[ \t]+")


def configured(smtp: SmtpSettings) -> bool:
    """Whether mails are signed. Raises ConfigError when only one half is set."""
    if (smtp.dkim_key is None) != (smtp.dkim_selector is None):
        raise ConfigError("smtp.dkim_key and smtp.dkim_selector go together", hint="set both, or none to send unsigned")
    return smtp.dkim_key is not None


def domain_of(smtp: SmtpSettings) -> str:
    """The domain that signs: as set, else the sender's."""
    return smtp.dkim_domain or parseaddr(smtp.sender)[1].rpartition("@")[2]


@lru_cache(maxsize=4)
def _key(pem: str) -> RSAPrivateKey:
    try:
        # A key in one line of an environment variable has its line breaks written out.
        key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise ConfigError(
            "smtp.dkim_key cannot be read", why="it is not a PEM private key", hint="openssl genrsa -out dkim.pem 2048"
        ) from e
    if not isinstance(key, RSAPrivateKey) or key.key_size < 1024:
        raise ConfigError("smtp.dkim_key must be an RSA key of 1024 bits or more", hint="openssl genrsa 2048")
    return key


def public_record(smtp: SmtpSettings) -> tuple[str, str]:
    """The TXT record to publish: its name and its value. Raises ConfigError."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    assert smtp.dkim_key is not None
    public = _key(smtp.dkim_key.get_secret_value()).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = f"{smtp.dkim_selector}._domainkey.{domain_of(smtp)}"
    return name, f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"


def signed(data: bytes, smtp: SmtpSettings, now: datetime) -> bytes:
    """The message with a DKIM-Signature in front. The same input gives the same bytes. Raises ConfigError."""
    assert smtp.dkim_key is not None
    key = _key(smtp.dkim_key.get_secret_value())
    head, _, body = data.partition(b"\r\n\r\n")
    fields = _fields(head)
    names = [n for n in SIGNED if n in dict(fields)] + list(OVERSIGNED)
    body_hash = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
    tags = (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain_of(smtp)};\r\n\ts={smtp.dkim_selector}; "
        f"t={int(now.timestamp())};\r\n\th={_folded(':'.join(names), ':')};\r\n\tbh={body_hash};\r\n\tb="
    )
    text = _covered(fields, names) + relaxed_header(b"DKIM-Signature", b" " + tags.encode())
    signature = base64.b64encode(key.sign(text, PKCS1v15(), SHA256())).decode()
    lines = "\r\n\t ".join(signature[k : k + 70] for k in range(0, len(signature), 70))
    return f"DKIM-Signature: {tags}{lines}\r\n".encode() + data


def _folded(text: str, at: str) -> str:
    lines, line = [], ""
    for part in text.split(at):
        if line and len(line) + len(part) > 65:
            lines.append(line)
            line = ""
        line += part + at
    return "\r\n\t ".join([*lines, line]).removesuffix(at)


def _fields(head: bytes) -> list[tuple[str, tuple[bytes, bytes]]]:
    """Header fields in order: lower-case name, then name and value as they stand."""
    found: list[tuple[str, tuple[bytes, bytes]]] = []
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, _, value = line.partition(b":")
        found.append((name.strip().lower().decode("ascii", "replace"), (name, value)))
    return found


def _covered(fields: Sequence[tuple[str, tuple[bytes, bytes]]], names: Sequence[str]) -> bytes:
    """The fields named, each name taking the lowest one not taken yet; a name with none left adds nothing."""
    left = list(fields)
    out = b""
    for name in names:
        at = next((k for k in range(len(left) - 1, -1, -1) if left[k][0] == name), None)
        if at is not None:
            out += relaxed_header(*left.pop(at)[1]) + b"\r\n"
    return out


def relaxed_header(name: bytes, value: bytes) -> bytes:
    """RFC 6376 3.4.2, without the line break at the end."""
    unfolded = value.replace(b"\r\n", b"")
    return name.strip().lower() + b":" + _SPACE.sub(b" ", unfolded).strip(b" \t")


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4."""
    lines = [_SPACE.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"\r\n".join(lines) + b"\r\n" if lines else b""
