"""A person's way in a real browser: subscribe, confirm, choose, say an opinion, leave. Mails go through real SMTP."""

from __future__ import annotations

import re

from bench.chromium import Tab
from pipeline.store import feedback
from tests.browser.conftest import World


def heading(tab: Tab) -> str:
    return str(tab.run("document.querySelector('h1').innerText"))


def test_from_subscribing_to_leaving(tab: Tab, world: World) -> None:
    tab.goto(f"{world.address}/")
    tab.follow("nav a[href='/subscribe']")
    tab.fill("#email", "new@example.org")
    tab.follow("form button")
    assert heading(tab) == "Look into your mail" and "new@example.org" in tab.run("document.body.innerText")
    assert world.again("new@example.org").state == "pending"
    world.send()
    found = re.search(rf"{re.escape(world.address)}/c/[\w.-]+", world.mail_to("new@example.org"))
    assert found is not None
    tab.goto(found[0])
    assert world.again("new@example.org").state == "pending", "looking at the page confirms nothing"
    tab.follow("form button")
    assert heading(tab) == "You are subscribed" and world.again("new@example.org").state == "active"

    tab.follow("main a.button")
    assert heading(tab) == "Your preferences"
    tab.run("document.querySelector('#hour').value = '6'; document.querySelector('#count').value = '3'")
    tab.fill("#zone", "Europe/Berlin")
    for day in ("6", "7"):
        tab.click(f"input[name=days][value='{day}']")
    tab.fill("#wanted_topics", "Queues, bread")
    tab.run("document.querySelector('select[name=\"show:2\"]').value = 'mute'")
    tab.follow("form.box button")
    assert "Saved" in tab.run("document.querySelector('[role=status]').innerText")
    who = world.again("new@example.org")
    assert (who.hour, who.time_zone, who.count, who.days) == (6, "Europe/Berlin", 3, (1, 2, 3, 4, 5))
    assert (who.wanted_topics, who.muted_shows) == (("queues", "bread"), (2,))
    assert tab.run("document.querySelector('#zone').value") == "Europe/Berlin"

    tab.fill("#zone", "Mars/Olympus")
    tab.follow("form.box button")
    assert tab.run("document.querySelector('#zone').getAttribute('aria-invalid')") == "true"
    assert "Europe/Berlin" in tab.run("document.querySelector('#zone-error').innerText")
    tab.run("document.querySelector('#until').value = '2026-12-01'")
    tab.follow("#until + * ~ p button, form:has(#until) button")
    assert world.again("new@example.org").state == "paused"
    tab.follow("form:has([value=resume]) button")
    assert world.again("new@example.org").state == "active"

    tab.follow("main a[href^='/u/']")
    assert heading(tab) == "Unsubscribe" and world.again("new@example.org").state == "active"
    tab.follow("form button")
    assert heading(tab) == "You are unsubscribed" and world.again("new@example.org").state == "removed"


def test_deleting_oneself_wants_a_tick(tab: Tab, world: World) -> None:
    tab.goto(world.link("p", "preferences"))
    tab.follow("form.danger button")
    assert "Tick the box first" in tab.run("document.body.innerText")
    tab.click("form.danger input[type=checkbox]")
    tab.follow("form.danger button")
    assert heading(tab) == "Everything about you is deleted"


def test_the_links_of_a_mail_that_arrived(tab: Tab, world: World) -> None:
    mail = world.mail_to("reader@example.org")
    links = dict.fromkeys(re.findall(rf"{re.escape(world.address)}/[a-z]/[\w.-]+", mail))
    kinds = {link.removeprefix(world.address)[1] for link in links}
    assert kinds == {"d", "u", "p", "f", "i"}
    for link in links:
        tab.goto(link)
        assert tab.run("document.querySelectorAll('h1').length") == 1, link
    assert world.again().state == "active"
    with world.db.begin() as conn:
        assert not any(feedback.counts(conn).values()), "a scanner that opens every link says nothing"


def test_an_opinion_takes_one_press(tab: Tab, world: World) -> None:
    tab.goto(world.link("f", "feedback", insight=world.ids[0], verdict="less"))
    tab.follow("form button[value=less]")
    assert heading(tab) == "Thank you"
    assert tab.run("document.querySelector('button[aria-pressed=true]').value") == "less"
    with world.db.begin() as conn:
        assert feedback.counts(conn)["less"] == 1


def test_everything_goes_without_scripts(tab: Tab, world: World) -> None:
    tab.goto(world.link("p", "preferences"))
    tab.scripts(allowed=False)
    tab.goto(world.link("p", "preferences"))
    tab.fill("#muted_topics", "golf")
    with tab.loading():
        tab.press("Enter", 13, "\r")
    assert world.again().muted_topics == ("golf",)
    tab.goto(world.link("u", "unsubscribe"))
    tab.follow("form button")
    assert world.again().state == "removed"
