"""What a way out is: where it leads, what it carries, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from pipeline.records import DigestIssue
from pipeline.settings import Settings

Outcome = Literal["sent", "later", "refused", "gone", "unknown"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a post.

    `later` may be tried again and nothing was taken; `refused` is final for this digest; `gone` ends the channel;
    `unknown` is an answer that was lost after the post was made.
    """

    outcome: Outcome
    why: str = ""
    wait_s: float | None = None
    """How long the other side wants to be left alone."""


@dataclass(frozen=True, slots=True)
class Post:
    """One digest for one channel: the same `key` and `body` however often it is tried."""

    key: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where a channel leads: `secrets` are sealed in the database, `shown` may be read by anybody who may list them."""

    secrets: Mapping[str, str]
    shown: str


class Way(Protocol):
    """A kind of channel."""

    repeatable: bool
    """Whether the same post made twice is one to whoever gets it. If not, a lost answer waits for a person."""

    def place(self, address: str, settings: Settings) -> Place:
        """Check an address as the operator gives it. Raises UsageError, ConfigError."""
        ...

    def body(self, issue: DigestIssue, digest_id: int, settings: Settings) -> str:
        """What is posted; frozen with the digest. Carries nothing of the subscriber."""
        ...

    def post(self, secrets: Mapping[str, str], post: Post, settings: Settings) -> Fate:
        """Make the post. Raises nothing of the other side's making."""
        ...
