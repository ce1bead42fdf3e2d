"""The operator's pages in a real browser: signing in, and each kind of action."""

from __future__ import annotations

from bench.chromium import Tab
from pipeline.store import episodes, feeds, outbox
from tests.browser.conftest import TOKEN, World


def signed_in(tab: Tab, world: World) -> None:
    tab.goto(f"{world.address}/ops")
    tab.fill("input[name=token]", TOKEN)
    tab.follow("main form button")
    assert tab.run("location.pathname") == "/ops"


def test_a_wrong_token_opens_nothing(tab: Tab, world: World) -> None:
    tab.goto(f"{world.address}/ops/mails")
    assert tab.run("location.pathname") == "/ops/login"
    tab.fill("input[name=token]", "not-this-one-at-all")
    tab.follow("main form button")
    assert tab.run("location.pathname") == "/ops/login"
    assert "unsure@example.org" not in tab.run("document.body.innerText")


def test_an_uncertain_mail_is_decided(tab: Tab, world: World) -> None:
    signed_in(tab, world)
    tab.follow("a[href='/ops/mails?state=uncertain']")
    assert "unsure@example.org" in tab.run("document.body.innerText")
    tab.follow("form:has(input[value=mark-sent]) button")
    assert "counts as sent" in tab.run("document.querySelector('[role=status]').innerText")
    with world.db.begin() as conn:
        assert outbox.get(conn, world.uncertain)["state"] == "sent"


def test_feeds_and_episodes_are_acted_on(tab: Tab, world: World) -> None:
    signed_in(tab, world)
    tab.follow(".tabs a[href='/ops/feeds']")
    tab.follow("form:has(input[value=pause]) button")
    with world.db.begin() as conn:
        assert "paused" in {f["state"] for f in feeds.listed(conn)}
    tab.follow("form:has(input[value=resume]) button")
    with world.db.begin() as conn:
        assert {f["state"] for f in feeds.listed(conn)} == {"active"}
    tab.follow(".tabs a[href='/ops/jobs']")
    assert "no audio in it" in tab.run("document.body.innerText")
    tab.follow("form:has(input[value=retry]) button")
    with world.db.begin() as conn:
        assert episodes.counts(conn).get("failed", 0) == 0
    cookies = tab.call("Network.getCookies", urls=[f"{world.address}/ops"])["cookies"]
    assert [(c["httpOnly"], c["sameSite"], c["path"]) for c in cookies] == [(True, "Strict", "/ops")]
    tab.follow(".opsbar form button")
    tab.goto(f"{world.address}/ops")
    assert tab.run("location.pathname") == "/ops/login"
