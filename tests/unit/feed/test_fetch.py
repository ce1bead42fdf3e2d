"""Fetching a feed from servers that lie, redirect, bomb and stall."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from pipeline.answer import fresh_for
from pipeline.errors import FetchError, PodsiftError, RefusedError
from pipeline.feed.fetch import FetchedFeed, fetch, validator
from pipeline.records import FeedForUpdate
from pipeline.settings import FeedSettings
from pipeline.wire import Wire
from tests.conftest import NOW
from tests.fakes.http_server import Site, redirect, send, serve

LIMIT = 100_000
SETTINGS = FeedSettings(allow_hosts=("127.0.0.1",), max_bytes=LIMIT, timeout_s=3)  # type: ignore[call-arg]


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def get(url: str, *, etag: str | None = None, auth: tuple[str, str] | None = None, days: int = 0) -> FetchedFeed:
    feed = FeedForUpdate(1, url, etag=etag, last_modified="then", last_full_at=NOW - timedelta(days=days))

    async def one() -> FetchedFeed:
        async with Wire(SETTINGS) as client:
            return await fetch(client, feed, SETTINGS, auth, now=NOW)

    return asyncio.run(one())


def test_an_answer_is_taken_verbatim(site: Site) -> None:
    body = b"<rss/>" * 1000
    packed = gzip.compress(body)
    site.answers["/f"] = send(
        packed, Content_Encoding="gzip", ETag='W/"7"', Last_Modified="x", Cache_Control="max-age=9"
    )
    got = get(site.base + "/f")
    assert (got.body, got.sha256) == (body, hashlib.sha256(body).hexdigest())
    assert (got.bytes, got.wire_bytes) == (len(body), len(packed))
    assert (got.etag, got.last_modified, got.max_age_s, got.permanent_url) == ('W/"7"', "x", 9, None)
    assert site.asked[0][1]["User-Agent"].startswith("podsift/")


def test_conditions_are_sent_but_once_a_week_not(site: Site) -> None:
    site.answers["/f"] = send(status=304)
    assert get(site.base + "/f", etag='"1"').conditional
    assert not get(site.base + "/f", etag='"1"', days=8).conditional
    sent = [(h["If-None-Match"], h["If-Modified-Since"]) for _, h in site.asked]
    assert sent == [('"1"', "then"), (None, None)]


def test_expires_0_drops_the_validators(site: Site) -> None:
    site.answers["/f"] = send(b"x", ETag='"1"', Last_Modified="x", Expires="0")
    got = get(site.base + "/f")
    assert (got.etag, got.last_modified) == (None, None)


@pytest.mark.parametrize("odd", ['"\xe4"', '"' + "x" * 2000 + '"', "a\tb"])
def test_a_validator_that_cannot_be_sent_back_is_not_kept(site: Site, odd: str) -> None:
    site.answers["/f"] = send(b"x", ETag=odd)
    assert get(site.base + "/f").etag is None
    assert get(site.base + "/f", etag=odd).status == 200


def test_a_validator_is_verbatim() -> None:
    assert validator('W/"a b"') == 'W/"a b"'


def test_no_cookie_is_kept(site: Site) -> None:
    site.answers["/a"] = send(status=302, Location="/b", Set_Cookie="id=1")
    site.answers["/b"] = send(b"x", Set_Cookie="id=2")
    assert get(site.base + "/a").final_url == site.base + "/b"
    assert [h["Cookie"] for _, h in site.asked] == [None, None]


@pytest.mark.parametrize(
    ("statuses", "permanent"),
    [((301, 308), "/2"), ((301, 302), "/1"), ((302, 301), None), ((307, 303), None)],
)
def test_only_the_leading_permanent_run_moves(site: Site, statuses: tuple[int, int], permanent: str | None) -> None:
    for k, status in enumerate(statuses):
        site.answers[f"/{k}"] = redirect(f"/{k + 1}", status)
    site.answers["/2"] = send(b"x")
    got = get(site.base + "/0")
    assert got.final_url == site.base + "/2"
    assert got.permanent_url == (permanent and site.base + permanent)


def test_credentials_go_to_their_origin_only(site: Site) -> None:
    sent = "Basic " + base64.b64encode(b"me:p@ss").decode()
    with serve() as other:
        site.answers["/f"], site.answers["/g"] = redirect("/g"), redirect(other.base + "/h")
        other.answers["/h"] = send(b"x")
        by_url = get(f"http://me:p%40ss@{site.host}/f")
        by_auth = get(site.base + "/f", auth=("me", "p@ss"))
        assert [h["Authorization"] for _, h in site.asked] == [sent] * 4
        assert [h["Authorization"] for _, h in other.asked] == [None] * 2
    assert by_url.final_url == by_auth.final_url == other.base + "/h"


def test_credentials_of_a_redirect_are_not_used(site: Site) -> None:
    site.answers["/f"] = redirect(f"http://evil:one@{site.host}/g")
    site.answers["/g"] = send(b"x")
    got = get(site.base + "/f")
    assert got.final_url == site.base + "/g" and site.asked[1][1]["Authorization"] is None


def test_members_of_a_gzip_file_are_one_body(site: Site) -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0" * 100
    site.answers["/f"] = send(packed, Content_Encoding="gzip")
    assert get(site.base + "/f").body == b"one two"


BOMB = gzip.compress(b"\0" * 50_000_000)


@pytest.mark.parametrize(
    ("body", "headers", "error", "said"),
    [
        (b"x" * (LIMIT + 1), {}, RefusedError, "larger than"),
        (BOMB, {"Content_Encoding": "gzip"}, RefusedError, "larger than"),
        (gzip.compress(BOMB), {"Content_Encoding": "gzip, gzip"}, RefusedError, "only gzip"),
        (b"x", {"Content_Encoding": "br"}, RefusedError, "only gzip"),
        (gzip.compress(b"") * 1001, {"Content_Encoding": "gzip"}, RefusedError, "more than 1000 parts"),
        (gzip.compress(bytes(range(256)) * 9)[:-9], {"Content_Encoding": "gzip"}, FetchError, "cut off"),
        (b"no gzip", {"Content_Encoding": "gzip"}, FetchError, "could not be unpacked"),
        (b"short", {"Content_Length": "500"}, FetchError, "could not be reached"),
    ],
    ids=["large", "bomb", "bomb in a bomb", "brotli", "empty members", "cut gzip", "no gzip", "cut body"],
)
def test_bodies_are_bounded(
    site: Site, body: bytes, headers: dict[str, Any], error: type[PodsiftError], said: str
) -> None:
    site.answers["/f"] = send(body, **headers)
    with pytest.raises(error, match=said):
        get(site.base + "/f")


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://[x]/", "http://10.0.0.1/", "file:///etc/passwd", "http://"]
)
def test_bad_redirects_are_ours_to_report(site: Site, location: str) -> None:
    site.answers["/f"] = redirect(location)
    with pytest.raises(PodsiftError):
        get(site.base + "/f")


def test_expires_counts_where_max_age_is_missing() -> None:
    at = {"date": "Fri, 20 Nov 2026 09:00:00 GMT", "expires": "Fri, 20 Nov 2026 10:00:00 GMT"}
    assert fresh_for(at) == 3600
    assert fresh_for(at | {"cache-control": "max-age=60"}) == 60
    assert fresh_for({"expires": "never"}) is None
