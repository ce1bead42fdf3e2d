"""The further pages of a feed that splits its archive (RFC 5005, rel=next)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from pipeline.episode.identity import own_key
from pipeline.feed.values import MAX_EPISODES
from pipeline.records import ParsedFeed

Page = Callable[[str], Awaitable[ParsedFeed | None]]
"""From an address to the page there; None for what is no feed or cannot be had."""


async def follow(first: ParsedFeed, url: str, page: Page, most: int) -> ParsedFeed:
    """The feed with the episodes of its further pages, `most` pages in all, each visited once.

    It ends at a page that has nothing new: some feeds point from every page to the next one for ever.
    """
    visited, known, episodes = {url}, {own_key(e) for e in first.episodes}, list(first.episodes)
    here: ParsedFeed | None = first
    while here is not None and here.next_page_url and len(visited) < most and len(episodes) < MAX_EPISODES:
        to = here.next_page_url
        if to in visited:
            break
        visited.add(to)
        here = await page(to)
        new = [e for e in here.episodes if own_key(e) not in known] if here else []
        if not new:
            break
        known |= {own_key(e) for e in new}
        episodes += new
    return replace(first, episodes=tuple(episodes[:MAX_EPISODES]))
