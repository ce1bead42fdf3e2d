"""Reading in a real browser: search, audio from its second, the keyboard, and nothing from elsewhere."""

from __future__ import annotations

from bench.chromium import Tab
from tests.browser.conftest import World


def test_search_marks_limits_and_plays(tab: Tab, world: World) -> None:
    tab.goto(f"{world.address}/")
    tab.follow("nav a[href='/search']")
    tab.fill("#q", "loaves")
    with tab.loading():
        tab.press("Enter", 13, "\r")
    assert "loaves" in tab.run("[...document.querySelectorAll('mark')].map(m => m.innerText).join(' ')")
    assert tab.run("document.querySelector('.card h2').innerText").startswith("Thirty-eight")
    tab.click("summary")
    tab.run("document.querySelector('#show').value = '1'")
    tab.follow("form.find button")
    assert tab.run("document.querySelectorAll('.card mark').length") == 0, "another show has no such word"
    tab.run("document.querySelector('#show').value = ''")
    tab.follow("form.find button")
    tab.follow(".tabs a:not([aria-current])")
    assert tab.run("document.querySelectorAll('.snippet mark').length") > 0
    assert tab.run("document.querySelector('.card a.time').hash").startswith("#t=")
    tab.follow(".card h2 a")
    assert tab.run("!!document.querySelector('.talk li:target')"), "the sentence that was found is marked"


def test_an_insight_plays_from_its_second(tab: Tab, world: World) -> None:
    tab.goto(f"{world.address}/i/{world.ids[1]}")
    assert not [r for r in tab.requests if ".mp3" in r], "no audio before somebody presses play"
    tab.click("a.play")
    tab.wait("!document.querySelector('audio').paused && document.querySelector('audio').currentTime >= 40")
    assert tab.run("document.querySelector('audio').currentTime") < 60
    tab.click(".talk a.time[data-seek='32.0'], .talk a.time[data-seek='24.0']")
    tab.wait("document.querySelector('audio').currentTime < 40")
    assert tab.run("location.pathname") == f"/i/{world.ids[1]}", "playing leaves the page where it is"


def test_an_insight_tells_where_it_comes_from(tab: Tab, world: World) -> None:
    tab.goto(f"{world.address}/i/{world.ids[2]}")
    text = tab.run("document.body.innerText")
    for part in ("The Long Table", "Bread that is baked twice", "Ben", "My grandmother baked", "nothing rewritten"):
        assert part in text, part
    tab.follow("a[href^='/t/']")
    assert "waiting" in tab.run("document.title") or "craft" in tab.run("document.title")


def test_the_keyboard_is_enough(tab: Tab, world: World) -> None:
    tab.goto(f"{world.address}/")
    tab.press("Tab", 9)
    assert tab.run("document.activeElement.innerText") == "Skip to the content"
    assert tab.run("document.activeElement.getBoundingClientRect().left >= 0"), "it is seen once it has the focus"
    tab.press("Enter", 13, "\r")
    tab.wait("document.activeElement.id === 'main'")
    seen = set()
    for _ in range(60):
        tab.press("Tab", 9)
        at = tab.run(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e); "
            "return [e.tagName, e.getAttribute('href'), s.outlineStyle !== 'none' && "
            "parseFloat(s.outlineWidth) >= 2] })()"
        )
        if at[0] == "BODY":
            break
        assert at[2], f"no outline shows that {at[1]} has the focus"
        seen.add(at[1])
    assert {f"/i/{i}" for i in world.ids} <= seen


def test_nothing_comes_from_elsewhere_and_no_cookie_is_left(tab: Tab, world: World) -> None:
    day = world.clock.now().date().isoformat()
    for path in (
        "/",
        f"/archive/{day}",
        f"/i/{world.ids[0]}",
        "/e/1",
        "/s/1",
        "/topics",
        "/search?q=queue",
        "/subscribe",
    ):
        tab.goto(world.address + path)
    tab.goto(world.link("d", "view", digest=world.digest))
    # The buttons of Chromium's own player are pictures of its own, as data: addresses.
    assert [r for r in tab.requests if not r.startswith((world.address, "data:image/svg"))] == []
    assert tab.call("Network.getCookies", urls=[world.address])["cookies"] == []
    assert tab.run("localStorage.length + sessionStorage.length") == 0


def test_pages_end_at_320_pixels(tab: Tab, world: World) -> None:
    tab.look(320, height=640)
    day = world.clock.now().date().isoformat()
    for path in (
        "/",
        "/archive",
        f"/archive/{day}",
        f"/i/{world.ids[0]}",
        "/e/1",
        "/s/1",
        "/shows",
        "/search?q=queue&in=talk",
    ):
        tab.goto(world.address + path)
        assert tab.run("document.scrollingElement.scrollWidth") <= 320, path
    tab.goto(world.link("d", "view", digest=world.digest))
    assert tab.run("document.scrollingElement.scrollWidth") <= 320
