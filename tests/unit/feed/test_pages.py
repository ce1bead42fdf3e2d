"""Archives in pages: each page once, never more than asked for, and an end where nothing new comes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pipeline.feed import pages
from pipeline.records import ParsedFeed
from tests.conftest import NOW
from tests.fakes.rows import parsed_episode

URL = "https://e.org/feed"


def feed(*numbers: int, next_to: str | None = None) -> ParsedFeed:
    return ParsedFeed("Show", next_page_url=next_to, episodes=tuple(parsed_episode(n, NOW) for n in numbers))


def followed(first: ParsedFeed, site: dict[str, ParsedFeed | None], most: int = 10) -> tuple[int, list[str]]:
    asked: list[str] = []

    async def page(url: str) -> ParsedFeed | None:
        asked.append(url)
        return site.get(url)

    found = asyncio.run(pages.follow(first, URL, page, most))
    assert replace(found, episodes=()) == replace(first, episodes=())
    return len(found.episodes), asked


def test_every_page_is_read_in_turn() -> None:
    site: dict[str, ParsedFeed | None] = {"2": feed(3, 4, next_to="3"), "3": feed(5)}
    assert followed(feed(1, 2, next_to="2"), site) == (5, ["2", "3"])


def test_the_number_of_pages_is_bounded() -> None:
    site: dict[str, ParsedFeed | None] = {str(k): feed(k, next_to=str(k + 1)) for k in range(2, 100)}
    assert followed(feed(1, next_to="2"), site, most=3) == (3, ["2", "3"])


@pytest.mark.parametrize(
    ("site", "count", "asked"),
    [
        ({"2": feed(3, next_to=URL)}, 2, ["2"]),
        ({"2": feed(3, next_to="2")}, 2, ["2"]),
        ({"2": feed(3, next_to="3"), "3": feed(4, next_to="2")}, 3, ["2", "3"]),
        ({"2": feed(next_to="3"), "3": feed(4)}, 1, ["2"]),
        ({"2": feed(1, next_to="3"), "3": feed(4)}, 1, ["2"]),
        ({"2": None}, 1, ["2"]),
    ],
    ids=["back to the first", "itself", "a ring", "empty", "nothing new", "not there"],
)
def test_it_ends(site: dict[str, ParsedFeed | None], count: int, asked: list[str]) -> None:
    assert followed(feed(1, next_to="2"), site) == (count, asked)


def test_the_number_of_episodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_EPISODES", 5)
    site: dict[str, ParsedFeed | None] = {str(k): feed(2 * k, 2 * k + 1, next_to=str(k + 1)) for k in range(2, 100)}
    assert followed(feed(0, 1, next_to="2"), site) == (5, ["2", "3"])
