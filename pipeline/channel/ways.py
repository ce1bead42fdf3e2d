"""The kinds of channels, and which one an address means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.channel import chat
from pipeline.channel.base import Place, Way
from pipeline.channel.chat import Chat
from pipeline.channel.folder import Folder
from pipeline.channel.webhook import Webhook
from pipeline.secretbox import SecretBox
from pipeline.settings import Settings

WAYS: Mapping[str, Way] = {"webhook": Webhook(), "chat": Chat(), "folder": Folder()}


def kind_of(address: str) -> str:
    """`folder:` and paths are folders, http(s) is a webhook unless Apprise knows it as a service's own; else a chat."""
    if address.startswith(("folder:", "/", "~")):
        return "folder"
    if not address.lower().startswith(("http://", "https://")):
        return "chat"
    if chat.installed():
        import apprise

        service: Any = apprise.Apprise.instantiate(address, suppress_exceptions=True)
        if service is not None:
            return "chat"
    return "webhook"


def sealed(place: Place, settings: Settings) -> str:
    """A place's secrets for the database. Raises ConfigError without a secret key."""
    return SecretBox.of(settings, "channel").seal(json.dumps(dict(place.secrets)))


def opened(text: str, settings: Settings) -> dict[str, str]:
    """Secrets from the database. Raises ConfigError."""
    found: dict[str, str] = json.loads(SecretBox.of(settings, "channel").open(text))
    return found


def resealed(text: str, settings: Settings) -> str | None:
    """The same secrets under the newest key; None when they are under it already. Raises ConfigError."""
    box = SecretBox.of(settings, "channel")
    return None if box.newest(text) else box.seal(box.open(text))
