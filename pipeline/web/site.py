"""What the pages work with: settings, database, templates, search, limits."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from pipeline.clock import Clock
from pipeline.errors import PodsiftError, RefusedError
from pipeline.insight.embed import Embedder
from pipeline.resources import resource
from pipeline.settings import Settings
from pipeline.store.database import Database
from pipeline.store.insights import Vector
from pipeline.store.search import open_index
from pipeline.web import words
from pipeline.web.limits import Limits, owner

log = logging.getLogger(__name__)


class Site:
    """One for each process; handlers find it at `request.app.state.site`."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        clock: Clock,
        *,
        embedder: Callable[[], Embedder] | None = None,
        limits: Limits | None = None,
    ):
        self.settings = settings
        self.db = db
        self.clock = clock
        self.limits = limits or Limits()
        self.index = open_index(db)
        self._load_embedder = embedder or _minilm
        self._loading = threading.Lock()
        self.root = urlsplit(settings.web.base_url).path if settings.web.base_url else ""

    @contextmanager
    def reads(self) -> Iterator[Connection]:
        """A transaction that writes nothing."""
        with self.db.begin(reads=True) as conn:
            yield conn

    def secure(self, scope: Scope) -> bool:
        """Whether readers reach us by https."""
        base = self.settings.web.base_url
        return base.startswith("https:") if base else scope.get("scheme") == "https"

    def absolute(self, request: Request, path: str) -> str:
        """The public address of a path."""
        base = self.settings.web.base_url
        return f"{base or str(request.base_url).rstrip('/')}{path}"

    def check_rate(self, request: Request, kind: str, person: int | None = None) -> None:
        """Raise RefusedError (429) when this address does too much, or this person."""
        who = f"person {person}" if person is not None else owner(request.client.host if request.client else None)
        waits = self.limits.wait_s(kind, who, time.monotonic())
        if waits > 0:
            raise RefusedError(
                "That was too often", why=f"wait {max(1, round(waits))} seconds and try again", status=429, wait=waits
            )

    def vector(self, text: str) -> Vector | None:
        """A text's vector (384 float32, unit length); None where the embedding model is not installed."""
        embedder = self._embedder
        if embedder is None:
            return None
        found: Vector = embedder.embed([text])[0]
        return found

    @cached_property
    def _embedder(self) -> Embedder | None:
        with self._loading:
            try:
                return self._load_embedder()
            except PodsiftError as e:
                log.warning("search goes by words alone: %s", e)
                return None

    @cached_property
    def static(self) -> Path:
        return resource("templates") / "web" / "static"

    @cached_property
    def versions(self) -> dict[str, str]:
        """A short hash of each static file, so that a browser may keep it for good."""
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest()[:10] for p in self.static.iterdir() if p.is_file()}

    @cached_property
    def _templates(self) -> Environment:
        env = Environment(
            loader=FileSystemLoader(resource("templates") / "web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        env.filters |= words.FILTERS
        env.globals["asset"] = lambda name: f"{self.root}/static/{name}?v={self.versions[name]}"
        env.globals["root"] = self.root
        env.globals["web"] = self.settings.web
        return env

    def text(self, template: str, **values: Any) -> str:
        """A template with values."""
        return self._templates.get_template(template).render(values)

    def page(
        self, request: Request, template: str, status: int = 200, headers: dict[str, str] | None = None, **values: Any
    ) -> Response:
        """A page, knowing where it is."""
        path = request.url.path.removeprefix(self.root)
        return HTMLResponse(self.text(template, path=path, **values), status, headers)


def _minilm() -> Embedder:
    from pipeline.insight.toolbox import Toolbox

    return Toolbox().embedder
