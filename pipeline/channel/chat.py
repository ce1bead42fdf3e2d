"""Slack, Discord, ntfy, Telegram, Matrix and the rest, through Apprise (the extra `notify`).

Apprise says of a post that it failed, not how; its log and the connection do. A chat does not know a post again, so
what may have arrived is not repeated: it waits for a person, as a mail does.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from pipeline.channel.base import Fate, Place, Post
from pipeline.channel.issue import as_short_text
from pipeline.errors import ConfigError, UsageError
from pipeline.guard import checked_addresses
from pipeline.records import DigestIssue
from pipeline.settings import Settings

LIMIT_S = 60.0
_STATUS = re.compile(r"error[= ]+\(?(\d{3})\b")
_LOCAL = frozenset(
    ("syslog", "dbus", "qt", "glib", "kde", "gnome", "macosx", "windows", "enigma2", "mailto", "mailtos")
)
"""Ways that lead into this machine or round the outbox; a digest has no business there."""


def installed() -> bool:
    """Whether Apprise is there."""
    return find_spec("apprise") is not None


class Chat:
    """One Apprise address."""

    repeatable = False

    def place(self, address: str, settings: Settings) -> Place:
        scheme = address.partition(":")[0].lower()
        if scheme in _LOCAL:
            raise UsageError(f"{scheme}:// does not lead out", hint="mails are what subscribers are for")
        service = _service(address)
        if service is None:
            raise UsageError(
                f"{scheme}:// with what follows is not an address that Apprise knows",
                hint="for example ntfy://topic, slack://TokenA/TokenB/TokenC, tgram://bottoken/ChatID",
            )
        return Place({"url": address}, str(service.url(privacy=True)).partition("?")[0])

    def body(self, issue: DigestIssue, digest_id: int, settings: Settings) -> str:
        title, text = as_short_text(issue, settings)
        return json.dumps({"title": title, "text": text})

    def post(self, secrets: Mapping[str, str], post: Post, settings: Settings) -> Fate:
        import apprise

        wanted = json.loads(post.body)
        to = apprise.Apprise()
        service = _service(secrets["url"])
        if service is None:
            return Fate("refused", "this version of Apprise does not know the address")
        to.add(service)
        said: list[str] = []
        with guarded(settings.channel.allow_hosts) as wire:
            done = to.notify(
                body=wanted["text"],
                title=wanted["title"],
                body_format=apprise.NotifyFormat.TEXT,
                timeout=LIMIT_S,
                log_callback=lambda entry, _service: said.append(str(entry.message)),
            )
        return Fate("sent", "taken") if done else fate(said, wire)


def _service(address: str) -> Any:
    if not installed():
        raise ConfigError("Apprise is not installed", hint="pip install 'podsift[notify]'")
    import apprise

    return apprise.Apprise.instantiate(address, suppress_exceptions=True)


@dataclass
class Wire:
    """What happened below Apprise."""

    connected: int = 0
    refused: str | None = None
    """Why the last connection was not made."""


def fate(log: Sequence[str], wire: Wire) -> Fate:
    """What became of a failed post, from what Apprise logged and whether there was a connection at all.

    What this does not settle is `unknown`.
    """
    codes = [int(m[1]) for m in _STATUS.finditer(" ".join(log))]
    if not wire.connected and wire.refused:
        return Fate("later", wire.refused[:300])
    if codes and codes[-1] in (408, 425, 429, 500, 503):
        return Fate("later", f"the service answered {codes[-1]}")
    if codes and 400 <= codes[-1] < 500:
        return Fate("refused", f"the service answered {codes[-1]}")
    told = f"it answered {codes[-1]}" if codes else "the line was lost, or its certificate is not trusted"
    return Fate("unknown", f"nobody can know whether it arrived: {told}")


_patching = threading.Lock()


@contextmanager
def guarded(allow_hosts: Sequence[str]) -> Iterator[Wire]:
    """Meanwhile, whatever goes through urllib3 (as Apprise does) connects to checked addresses only."""
    import urllib3.util.connection as wires

    plain = wires.create_connection
    wire = Wire()

    def checked(address: tuple[str, int], *args: Any, **kwargs: Any) -> Any:
        host, port = address
        try:
            first = checked_addresses(host.strip("[]"), port, allow_hosts)[0]
            made = plain((first, port), *args, **kwargs)
        except OSError as e:
            wire.refused = str(e)
            # urllib3 knows what to make of an OSError; the guard's is one.
            raise OSError(str(e)) from e
        wire.connected += 1
        return made

    with _patching:
        wires.create_connection = checked
        try:
            yield wire
        finally:
            wires.create_connection = plain
