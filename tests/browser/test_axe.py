"""axe-core on every page, light and dark, wide and at 320 pixels: no violation, and nothing sticks out."""

from __future__ import annotations

import json

import pytest

from bench.chromium import Tab
from tests.browser.conftest import ARTEFACTS, World, violations
from tests.browser.test_operators import signed_in

LOOKS = [(1200, False), (1200, True), (320, False), (320, True)]


def pages_of(world: World) -> dict[str, str]:
    """Every page that a person can see, by a short name."""
    day = world.clock.now().date().isoformat()
    here = {
        "home": "/", "archive": "/archive", "day": f"/archive/{day}", "insight": f"/i/{world.ids[0]}",
        "episode": "/e/1",
        "shows": "/shows", "show": "/s/1", "topics": "/topics", "topic": "/t/waiting", "search": "/search",
        "found": "/search?q=loaves", "talk": "/search?q=loaves&in=talk", "nothing": "/search?q=zebra",
        "subscribe": "/subscribe", "missing": "/nothing-here",
    }  # fmt: skip
    return {name: world.address + path for name, path in here.items()} | {
        "confirm": world.link("c", "confirm"),
        "preferences": world.link("p", "preferences"),
        "unsubscribe": world.link("u", "unsubscribe"),
        "opinion": world.link("f", "feedback", insight=world.ids[0], verdict="more"),
        "mail": world.link("d", "view", digest=world.digest),
        "login": f"{world.address}/ops/login",
    }


OPS = ("", "/feeds", "/jobs", "/mails", "/channels", "/people", "/models", "/days", "/feedback")


@pytest.mark.parametrize("who", ["readers", "operators"])
def test_no_page_has_a_violation(who: str, tab: Tab, world: World) -> None:
    if who == "operators":
        signed_in(tab, world)
        wanted = {f"ops{part.replace('/', '-')}": f"{world.address}/ops{part}" for part in OPS}
    else:
        wanted = pages_of(world)
    found: dict[str, list[str]] = {}
    for name, address in wanted.items():
        tab.goto(address)
        for width, dark in LOOKS:
            tab.look(width, dark=dark)
            look = f"{name}-{width}-{'dark' if dark else 'light'}"
            if (seen := violations(tab)) != []:
                found[look] = seen
            if (wide := tab.run("document.scrollingElement.scrollWidth")) > width:
                found[f"{look}-overflow"] = [f"{wide} pixels"]
            if (width, dark) in ((1200, False), (320, True)):
                tab.picture(ARTEFACTS / "pages" / f"{look}.png", limit=3000)
    report = {"axe": tab.run("axe.version"), "pages": sorted(wanted), "looks": LOOKS, "violations": found}
    (ARTEFACTS / f"axe-{who}.json").write_text(json.dumps(report, indent=1), "utf-8")
    assert found == {}
