"""The operator's pages in a real browser: signing in, and each kind of action."""

from __future__ import annotations

from bench.chromium import Tab
from pipeline.store import channels, episodes, feeds, outbox
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


def test_channels_and_posts_are_acted_on(tab: Tab, world: World) -> None:
    signed_in(tab, world)
    tab.follow("a[href='/ops/channels?state=uncertain']")
    said = tab.run("document.body.innerText")
    assert "nobody can know whether it arrived" in said and "whsec" not in said and "503" in said
    tab.follow("form:has(input[value=post-arrived]) button")
    assert "counts as sent" in tab.run("document.querySelector('[role=status]').innerText")
    tab.follow("form:has(input[value=post-again]) button")
    tab.follow("form:has(input[value=channel-pause]) button")
    with world.db.begin() as conn:
        assert sorted(d["state"] for d in channels.deliveries(conn)) == ["queued", "sent", "sent"]
        assert [c["state"] for c in channels.listed(conn)] == ["paused", "active", "active"]
    assert "by the operator" in tab.run("document.body.innerText")
    tab.follow("form:has(input[value=channel-resume]) button")
    with world.db.begin() as conn:
        assert {(c["state"], c["why"]) for c in channels.listed(conn)} == {("active", None)}


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
