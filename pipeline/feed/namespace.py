"""The podcast namespace for feedparser 6.0.14, which knows it not.

Without this the last of several transcripts wins, a person's name is lost, and a liveItem overwrites the channel's
title. It hangs on feedparser's private mixin; the version is pinned and a test guards it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from feedparser import api, mixin

log = logging.getLogger(__name__)

URIS = (
    "https://podcastindex.org/namespace/1.0",
    "https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md",
)

LIVE = "podcast_live"
"""Key that marks an entry as a live item."""


class PodcastHandlers:
    """Handlers by feedparser's naming: `_start_<prefix>_<tag in lower case>`."""

    def _start_podcast_transcript(self: Any, attrs: dict[str, str]) -> None:
        self._get_context().setdefault("podcast_transcripts", []).append(dict(attrs))

    def _end_podcast_transcript(self: Any) -> None:
        pass

    def _start_podcast_chapters(self: Any, attrs: dict[str, str]) -> None:
        self._get_context().setdefault("podcast_chapters_link", dict(attrs))

    def _end_podcast_chapters(self: Any) -> None:
        pass

    def _start_podcast_person(self: Any, attrs: dict[str, str]) -> None:
        self._get_context().setdefault("podcast_persons", []).append(dict(attrs))
        self.push("podcast_person_name", 1)

    def _end_podcast_person(self: Any) -> None:
        name = self.pop("podcast_person_name")
        persons = self._get_context().get("podcast_persons")
        if persons:
            persons[-1]["name"] = (name or "").strip()

    def _start_podcast_soundbite(self: Any, attrs: dict[str, str]) -> None:
        self._get_context().setdefault("podcast_soundbites", []).append(dict(attrs))
        self.push("podcast_soundbite_title", 1)

    def _end_podcast_soundbite(self: Any) -> None:
        title = self.pop("podcast_soundbite_title")
        found = self._get_context().get("podcast_soundbites")
        if found:
            found[-1]["title"] = (title or "").strip()

    def _start_podcast_liveitem(self: Any, _attrs: dict[str, str]) -> None:
        # An item of its own, so that nothing of it reaches the channel; the mark keeps it out of the episodes. It is
        # not taken out at its end: malformed feeds have ends without a start, which would take a real episode out.
        self._start_item({})
        self.entries[-1][LIVE] = True

    def _end_podcast_liveitem(self: Any) -> None:
        if self.inentry and self.entries[-1].get(LIVE):
            self._end_item()


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler of one element, whose trouble stays its own: feedparser's would end the reading of the whole feed.

    A fuzzer found it: a `psc:chapter` outside of `psc:chapters` is a KeyError, one that starts at `:` a TypeError.
    AttributeError is feedparser's own sign that it has no handler.
    """

    @wraps(handler)
    def call(self: Any, *args: Any) -> Any:
        try:
            return handler(self, *args)
        except (LookupError, TypeError, ValueError, ArithmeticError) as e:
            log.warning("%s is left out: %s: %s", handler.__name__.strip("_"), type(e).__name__, e)

    call.guarded = True  # type: ignore[attr-defined]
    return call


def register() -> None:
    """Teach feedparser the namespace; harmless when done again."""
    for uri in URIS:
        mixin._FeedParserMixin.namespaces[uri] = "podcast"
        mixin._FeedParserMixin._matchnamespaces.clear()
    for parser in (api.StrictFeedParser, api.LooseFeedParser):
        for name, handler in vars(PodcastHandlers).items():
            if name.startswith(("_start_", "_end_")):
                setattr(parser, name, handler)
        for name in dir(parser):
            if name.startswith(("_start_", "_end_")) and not hasattr(getattr(parser, name), "guarded"):
                setattr(parser, name, guarded(getattr(parser, name)))
