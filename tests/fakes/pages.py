"""The web pages on a free port, over real HTTP, in a thread of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from pipeline.clock import Clock
from pipeline.insight.embed import Embedder
from pipeline.settings import Settings
from pipeline.store.database import Database
from pipeline.web.app import application
from pipeline.web.limits import RATES, Limits, Rate
from pipeline.web.site import Site
from tests.fakes.embedder import WordEmbedder

MANY = Limits({kind: Rate(100_000, 1.0) for kind in RATES})


@contextmanager
def pages(
    settings: Settings,
    db: Database,
    clock: Clock,
    *,
    limits: Limits | None = MANY,
    embedder: Callable[[], Embedder] = WordEmbedder,
    port: int = 0,
) -> Iterator[str]:
    """The address of the pages. Without `limits` the product's own hold; without `port` any free one."""
    site = Site(settings, db, clock, embedder=embedder, limits=limits)
    config = uvicorn.Config(
        application(site), host="127.0.0.1", port=port, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="pages", daemon=True)
    thread.start()
    try:
        ends = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive() and time.monotonic() < ends, "the pages did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
