"""Pictures of the demo: its mail and its pages, light and dark, wide and phone. Needs Chromium and a finished demo.

python -m bench.pictures demo-data docs/images      # `make pictures` does this

The mail is drawn from the file that the demo's mail server kept, the pages from the pages themselves. Six pictures for
README and docs go to the second folder; every page in every shape goes to artefacts/look, for somebody to look at.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import uvicorn

from bench.chromium import BrowserError, Tab, browser
from pipeline.cli.demo import OPERATOR, demo_settings
from pipeline.clock import SystemClock
from pipeline.demo.samples import SampleServer
from pipeline.email import tokens
from pipeline.settings import Settings
from pipeline.store import blocks, subscribers
from pipeline.store.database import open_database
from pipeline.web.app import application
from pipeline.web.operators import PARTS
from pipeline.web.site import Site

WIDTHS = (1200, 600, 375, 320)
LOOK = Path("artefacts/look")
CHOSEN = {
    ("mail", 720, False): "digest.png",
    ("mail", 375, True): "digest-phone-dark.png",
    ("insight", 1000, False): "insight.png",
    ("home", 375, True): "pages-phone-dark.png",
    ("found", 1000, True): "search-dark.png",
    ("ops", 1200, False): "operator.png",
}
"""What README and docs show: (page, width, dark) and the file's name."""


@contextmanager
def pages(data: Path) -> Iterator[tuple[Settings, dict[str, str]]]:
    """The demo's pages, running, and the address of each by a short name."""
    with SampleServer(data) as server:
        settings = demo_settings(data, server, 1)
        db = open_database(settings)
        with db.begin() as conn:
            while blocks.fill(conn):
                pass
            (who,) = subscribers.listed(conn)
        config = uvicorn.Config(
            application(Site(settings, db, SystemClock())), host="127.0.0.1", port=settings.web.port, lifespan="off",
            log_config=None, access_log=False,
        )  # fmt: skip
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.05)
        with closing(sqlite3.connect(data / "podsift.db")) as raw:
            (first,) = raw.execute("SELECT insight_id FROM digest_item ORDER BY position LIMIT 1").fetchone()
        link = {
            p: f"/{path}/{tokens.make(settings, p, who.id, who.nonce, **extra)}"
            for p, path, extra in (
                ("preferences", "p", {}), ("unsubscribe", "u", {}),
                ("feedback", "f", {"insight": first, "verdict": "more"}),
            )
        }  # fmt: skip
        paths = {
            "home": "/", "archive": "/archive", "insight": f"/i/{first}", "episode": "/e/1", "shows": "/shows",
            "show": "/s/1", "topics": "/topics", "search": "/search", "found": "/search?q=queue",
            "subscribe": "/subscribe",
            "talk": "/search?q=queue&in=talk", "preferences": link["preferences"], "unsubscribe": link["unsubscribe"],
            "opinion": link["feedback"], "ops": "/ops", **{f"ops-{part}": f"/ops/{part}" for part in PARTS},
        }  # fmt: skip
        try:
            yield settings, {name: f"http://127.0.0.1:{settings.web.port}{path}" for name, path in paths.items()}
        finally:
            running.should_exit = True
            thread.join()
            db.close()


def main(data: Path, out: Path) -> None:
    """Draw everything."""
    mails = sorted((data / "mail").glob("*.html"))
    if not mails:
        sys.exit(f"no mail in {data}/mail: run `make demo` first")
    try:
        with pages(data) as (settings, addresses), browser() as tab:
            _sign_in(tab, settings)
            for name, address in {"mail": mails[0].absolute().as_uri(), **addresses}.items():
                _draw(tab, name, address, out)
    except BrowserError as e:
        sys.exit(str(e))
    print(json.dumps(sorted(CHOSEN.values())), "in", out, "and all looks in", LOOK)


def _sign_in(tab: Tab, settings: Settings) -> None:
    tab.goto(f"{settings.web.base_url}/ops/login")
    tab.fill("input[name=token]", OPERATOR)
    tab.follow("main form button")


def _draw(tab: Tab, name: str, address: str, out: Path) -> None:
    tab.look(WIDTHS[0])
    tab.goto(address)
    for width in WIDTHS:
        for dark in (False, True):
            tab.look(width, dark=dark)
            tab.picture(LOOK / f"{name}-{width}-{'dark' if dark else 'light'}.png", limit=3500)
    for (page, width, dark), file in CHOSEN.items():
        if page == name:
            tab.look(width, dark=dark, scale=1.5 if width < 500 else 1.0)
            tab.picture(out / file, limit=1500)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
