"""Private feeds: what is secret is taken out of the address, goes to its origin only, and is nowhere to be seen."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from pipeline.errors import ConfigError, FetchError, PodsiftError
from pipeline.feed.fetch import FetchedFeed
from pipeline.feed.private import (
    Access,
    access,
    hiding,
    masked,
    origin,
    reached,
    relogin,
    resealed,
    seal,
    take_apart,
    unseal,
    with_auth,
)
from pipeline.settings import Settings

KEY = "k1:" + "a" * 40


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    return settings.model_copy(update={"secret_key": SecretStr(KEY)})


def fetched(final: str, permanent: str | None = None) -> FetchedFeed:
    return FetchedFeed(200, final, permanent, b"", "0", None, None, 0, 0.0)


@pytest.mark.parametrize(
    "url",
    [
        "https://e.org/feed",
        "https://e.org/feed?format=mp3&page=2",
        "https://e.org/feed?auth=",
        "https://e.org/keynote/feed?monkey=1&author=ada&keyword=x&passage=3&key_words=y&user_id=7&hash=9",
    ],
)
def test_a_public_address_stays_as_it_is(url: str) -> None:
    assert take_apart(url) == (url, None)


def test_user_and_password() -> None:
    shown, secret = take_apart("https://ada%40e.org:p%3Aw@e.org:8443/feed?x=1")
    assert shown == "https://e.org:8443/feed?x=1" and secret is not None
    assert (secret.origin, secret.user, secret.password, secret.url) == ("https://e.org:8443", "ada@e.org", "p:w", None)
    assert take_apart("https://e.org/f", user="bob", password="x")[1] == reached_user("bob", "x")
    assert "p:w" not in repr(secret)


def reached_user(user: str, password: str) -> object:
    return take_apart(f"https://{user}:{password}@e.org/f")[1]


@pytest.mark.parametrize(
    "name",
    ["auth", "token", "access_token", "api_key", "key", "Signature", "X-Amz-Signature", "sig", "member_id"],
)
def test_a_token_in_the_query(name: str) -> None:
    url = f"https://e.org/rss?format=mp3&{name}=s3cretvalue"
    shown, secret = take_apart(url)
    assert shown.startswith(f"https://e.org/rss?format=mp3&{name}=private-") and "s3cret" not in shown
    assert secret is not None and secret.url == url
    assert take_apart(url)[0] != shown  # two private feeds of one path are two rows


def test_a_token_in_the_path() -> None:
    url = "https://e.org/rss/9f8e7d6c5b4a/feed.xml?a=1"
    shown, secret = take_apart(url, private=True)
    assert shown.startswith("https://e.org/private-") and secret is not None and secret.url == url


def test_into_the_row_and_out(keyed: Settings) -> None:
    shown, secret = take_apart("https://ada:hunter2secret@e.org/rss?token=abcdefgh")
    assert secret is not None
    sealed = seal(secret, keyed)
    assert "hunter2" not in sealed and "abcdefgh" not in sealed and unseal(sealed, keyed) == secret
    way = access(shown, sealed, keyed)
    assert (way.url, way.auth) == ("https://e.org/rss?token=abcdefgh", ("ada", "hunter2secret"))
    moved = access("https://other.example/rss", sealed, keyed)
    assert (moved.url, moved.auth) == ("https://other.example/rss", None)
    assert access("https://e.org/f", None, keyed) == Access("https://e.org/f")


def test_without_a_key_it_is_said_what_to_do(settings: Settings, keyed: Settings) -> None:
    _, secret = take_apart("https://ada:pw@e.org/f")
    assert secret is not None
    for call in (lambda: seal(secret, settings), lambda: access("https://e.org/f", seal(secret, keyed), settings)):
        with pytest.raises(ConfigError) as e:
            call()
        assert "podsift init" in (e.value.hint or "")


def test_errors_and_answers_show_nothing_secret() -> None:
    url = "https://e.org/rss/feed?token=abc%2Fdefgh&x=1"
    shown, secret = take_apart(url)
    way = reached(shown, secret)
    cause = OSError(f"no route to {url}")
    error = FetchError(f"{url} timed out")
    error.__cause__ = cause
    told = way.scrubbed(error)
    assert type(told) is FetchError
    for text in (str(told), told.message, str(told.cause()), repr(way), way.scrub("GET /rss/feed?token=abc/defgh")):
        assert "defgh" not in text
    got = way.concealed(fetched("https://e.org/rss/feed?token=abc%2Fdefgh&x=1"), shown)
    assert (got.final_url, got.permanent_url) == (shown, None)
    got = way.concealed(fetched("https://e.org/v2?token=abc%2Fdefgh", "https://e.org/v2?token=abc%2Fdefgh"), shown)
    assert "defgh" not in got.final_url and got.permanent_url is None
    public = fetched("https://e.org/g", "https://e.org/g")
    assert Access("https://e.org/f").concealed(public, "https://e.org/f") is public


def test_a_secret_that_a_redirect_brings_is_not_shown_either() -> None:
    said = "https://cdn.e.org/x/f.xml?sig=never-seen-before could not be reached: https://cdn.e.org/"
    by_query = reached(*take_apart("https://e.org/rss/feed?token=abcdefghij"))
    assert by_query.scrub(said) == "https://cdn.e.org/x/f.xml?*** could not be reached: https://cdn.e.org/"
    by_path = reached(*take_apart("https://e.org/rss/abcdefghij", private=True))
    assert by_path.scrub(said) == "https://cdn.e.org/***?*** could not be reached: https://cdn.e.org/"
    assert by_path.scrub("'https://e.org/rss/new-path' is refused") == "'https://e.org/***' is refused"
    assert Access("https://e.org/f").scrub(said) == said


def test_enclosures_of_the_same_origin_get_the_login() -> None:
    _, secret = take_apart("https://a%2Fda:p%40w@e.org/f")
    assert with_auth("https://e.org/1.mp3?x=1", secret) == "https://a%2Fda:p%40w@e.org/1.mp3?x=1"
    for other in ("http://e.org/1.mp3", "https://e.org:444/1.mp3", "https://cdn.e.org/1.mp3", "https://e.org.evil/1"):
        assert with_auth(other, secret) == other
    assert with_auth("https://E.ORG:443/1", secret).startswith("https://a%2Fda:p%40w@")
    assert with_auth("https://e.org/1", None) == "https://e.org/1"


def test_errors_about_enclosures_are_masked() -> None:
    url = "https://cdn.example/1.mp3?token-hash=abcdef&e=1"
    with pytest.raises(PodsiftError) as e, hiding(url, None):
        raise FetchError(f"{url} ended early", why=f"GET {url}", retry_after_s=7.0)
    assert "abcdef" not in str(e.value) and e.value.retry_after_s == 7.0  # type: ignore[attr-defined]
    assert masked("https://u:p@e.org/1.mp3?token=abc&x") == "https://e.org/1.mp3?token=***&x"


def test_a_new_key_and_a_new_password(keyed: Settings) -> None:
    _, secret = take_apart("https://ada:pw@e.org/rss?token=abcdefgh")
    assert secret is not None
    sealed = seal(secret, keyed)
    both = keyed.model_copy(update={"secret_key": SecretStr("k2:" + "b" * 40 + "," + KEY)})
    again = resealed({7: sealed}, both)
    only_new = keyed.model_copy(update={"secret_key": SecretStr("k2:" + "b" * 40)})
    assert unseal(again[7], only_new) == secret and resealed(again, both) == {}
    changed = unseal(relogin("https://e.org/rss?token=private-1", sealed, "ada", "new", keyed), keyed)
    assert (changed.password, changed.url) == ("new", secret.url)


def test_origins() -> None:
    assert origin("HTTPS://E.org/x") == origin("https://e.org:443/y") == "https://e.org:443"
    assert [origin(u) for u in ("ftp://e.org", "https://", "https://[::1", "https://e.org:99999/")] == [None] * 4
