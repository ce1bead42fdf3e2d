"""Serves samples/ on loopback, on a port kept between runs, with dates that end yesterday at the first run."""

from __future__ import annotations

import json
import re
import secrets
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import PodsiftError
from pipeline.resources import resource

BASE = "http://127.0.0.1:8765"
_RANGE = re.compile(r"bytes=(\d{1,12})-(\d{0,12})")
_DATE = re.compile(r"<(pubDate|lastBuildDate)>([^<]+)</")


def moved(xml: str, shift: timedelta, base_url: str) -> str:
    """A sample feed with its dates moved and its addresses pointing at `base_url`."""

    def later(m: re.Match[str]) -> str:
        return f"<{m[1]}>{format_datetime(parsedate_to_datetime(m[2]) + shift)}</"

    return _DATE.sub(later, xml).replace(BASE, base_url)


def shift_to_yesterday(folder: Path, today: datetime) -> timedelta:
    """Whole days by which the samples' newest date has to move to be yesterday."""
    dates = [
        parsedate_to_datetime(m[2])
        for f in sorted(folder.glob("feed-*.xml"))
        for m in _DATE.finditer(f.read_text("utf-8"))
        if m[1] == "pubDate"
    ]
    return (today - timedelta(days=1)).date() - max(dates).astimezone(UTC).date()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class _Handler(SimpleHTTPRequestHandler):
    base_url = ""
    shift = timedelta()

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if not re.fullmatch(r"feed-[a-z-]+\.xml", name) or not (Path(self.directory) / name).is_file():
            self._file()
            return
        body = moved((Path(self.directory) / name).read_text("utf-8"), self.shift, self.base_url).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/rss+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self) -> None:
        """A file, or the part of it that `Range` asks for: a player that starts in the middle needs that."""
        path = Path(self.translate_path(self.path))
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        size = path.stat().st_size if path.is_file() else 0
        first = int(asked[1]) if asked else 0
        if asked is None or first >= size:
            super().do_GET()
            return
        last = min(int(asked[2]), size - 1) if asked[2] else size - 1
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(max(0, last - first + 1)))
        self.end_headers()
        with path.open("rb") as f, suppress(ConnectionError):
            f.seek(first)
            self.wfile.write(f.read(max(0, last - first + 1)))

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class SampleServer:
    """A context: the samples at `base_url` for as long as it is open."""

    def __init__(self, data: Path):
        self._state = data / "samples.json"
        folder = resource("samples")
        kept = json.loads(self._state.read_text("utf-8")) if self._state.exists() else {}
        days = kept.get("days")
        if days is None:
            days = shift_to_yesterday(folder, datetime.now(UTC)).days
        handler = type("Handler", (_Handler,), {"shift": timedelta(days=days)})
        try:
            self._server = ThreadingHTTPServer(
                ("127.0.0.1", kept.get("port", 0)), partial(handler, directory=str(folder))
            )
        except OSError as e:
            raise PodsiftError(
                f"Port {kept.get('port')} is taken by another program",
                why="the demo keeps the port of its first run, because its feeds are stored with it",
                hint=f"stop that program, or start over: rm -r {data}",
            ) from e
        self.port = int(self._server.server_address[1])
        self.base_url = f"http://127.0.0.1:{self.port}"
        handler.base_url = self.base_url  # type: ignore[attr-defined]
        # Kept as well: where the demo's pages will be, and the key that signs links to them.
        self.pages_port = int(kept.get("pages_port") or _free_port())
        self.secret = str(kept.get("secret") or f"k1:{secrets.token_urlsafe(32)}")
        self._state.write_text(
            json.dumps({"port": self.port, "days": days, "pages_port": self.pages_port, "secret": self.secret}), "utf-8"
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="samples", daemon=True)

    def __enter__(self) -> SampleServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
