"""A signed JSON body to an https address, as Standard Webhooks describe it (standardwebhooks.com).

The signature is HMAC-SHA256 over `id.timestamp.body`. The id stays the same however often a post is tried, so whoever
gets it keeps the ids seen and takes none twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as random_secrets
from collections.abc import Mapping
from datetime import datetime

import httpx

from pipeline.answer import retry_after
from pipeline.channel.base import Fate, Place, Post
from pipeline.channel.issue import as_json
from pipeline.errors import PodsiftError, UsageError
from pipeline.guard import Refusal
from pipeline.records import DigestIssue
from pipeline.settings import Settings
from pipeline.transport import client, failed
from pipeline.urls import check_url, redact, split_credentials

TIMEOUT_S = 15.0
PREFIX = "whsec_"


def new_secret() -> str:
    """A key of 32 bytes in the form that Standard Webhooks' libraries take."""
    return PREFIX + base64.b64encode(random_secrets.token_bytes(32)).decode()


def signature(secret: str, key: str, at: datetime, body: bytes) -> str:
    """The value of `webhook-signature`."""
    raw = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{key}.{int(at.timestamp())}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()


class Webhook:
    """POST, no redirect followed, through the guard of addresses."""

    repeatable = True

    def place(self, address: str, settings: Settings) -> Place:
        try:
            url = check_url(address)
        except PodsiftError as e:
            raise UsageError(f"{redact(address)} is not a webhook", why=e.cause() or e.message) from e
        host = httpx.URL(split_credentials(url)[0])
        return Place({"url": url, "secret": new_secret()}, f"{host.scheme}://{host.host}/\u2026")

    def body(self, issue: DigestIssue, digest_id: int, settings: Settings) -> str:
        return as_json(issue, digest_id, settings)

    def post(self, secrets: Mapping[str, str], post: Post, settings: Settings) -> Fate:
        body = post.body.encode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": post.key,
            "webhook-timestamp": str(int(post.at.timestamp())),
            "webhook-signature": signature(secrets["secret"], post.key, post.at, body),
        }
        allowed = settings.feed.model_copy(update={"allow_hosts": settings.channel.allow_hosts})
        try:
            with (
                client(allowed, timeout_s=TIMEOUT_S) as c,
                c.stream("POST", secrets["url"], content=body, headers=headers, follow_redirects=False) as answer,
            ):
                return fate(answer.status_code, answer.headers)
        except (httpx.HTTPError, httpx.InvalidURL, Refusal) as e:
            return Fate("later", str(failed(secrets["url"], e))[:300])


def fate(status: int, headers: Mapping[str, str]) -> Fate:
    """What an answer means. Its body is not read: nothing in it matters, and it may never end."""
    why = f"the server answered {status}"
    if 200 <= status < 300:
        return Fate("sent", why)
    if status == 410:
        return Fate("gone", why)
    if status in (408, 425, 429) or status >= 500:
        return Fate("later", why, retry_after(headers.get("retry-after"), headers.get("date")))
    if 300 <= status < 400:
        return Fate("refused", why + ", and redirects are not followed: give the address it leads to")
    return Fate("refused", why)
