"""Links of a mail to our own pages, each with a token of its own; none without `web.base_url`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.email import tokens
from pipeline.errors import NotFoundError, RefusedError
from pipeline.records import Subscriber
from pipeline.settings import Settings
from pipeline.store import subscribers


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses for one subscriber's mail."""

    settings: Settings
    who: Subscriber
    base: str

    def _with(self, path: str, purpose: str, **extra: int | str) -> str:
        return f"{self.base}/{path}/{tokens.make(self.settings, purpose, self.who.id, self.who.nonce, None, **extra)}"

    @property
    def unsubscribe(self) -> str:
        return self._with("u", "unsubscribe")

    @property
    def preferences(self) -> str:
        return self._with("p", "preferences")

    def digest(self, digest_id: int) -> str:
        """The digest as it was sent."""
        return self._with("d", "view", digest=digest_id)

    def insight(self, insight_id: int) -> str:
        return f"{self.base}/i/{insight_id}"

    def feedback(self, insight_id: int, verdict: str) -> str:
        """A page with a button, since scanners follow links."""
        return self._with("f", "feedback", insight=insight_id, verdict=verdict)


def links(settings: Settings, who: Subscriber) -> Links | None:
    """None where there is no page to link to."""
    base = settings.web.base_url
    return Links(settings, who, base.rstrip("/")) if base else None


def confirm_link(settings: Settings, token: str) -> str:
    """Where an address is confirmed."""
    return f"{(settings.web.base_url or '').rstrip('/')}/c/{token}"


def holder(
    conn: Connection, settings: Settings, purpose: str, token: str, *, now: datetime | None = None
) -> tuple[Subscriber, dict[str, Any]]:
    """Whose token this is, and what it says.

    Raises RefusedError when the token is not valid, too old, or was made before the subscriber's nonce changed, or
    when the person was deleted.
    """
    said = tokens.read(settings, purpose, token, now=now)
    try:
        who = subscribers.get(conn, said["subscriber_id"])
    except NotFoundError as e:
        raise RefusedError("This link is not valid any more", why="the person it was made for is not stored") from e
    if who.nonce != said["nonce"]:
        raise RefusedError("This link is not valid any more", hint="use the newest mail's link")
    return who, said
