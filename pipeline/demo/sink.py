"""A real SMTP server on loopback that keeps what it gets as .eml and .html files."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller


class _Keep:
    def __init__(self, folder: Path):
        self.folder = folder
        self.kept: list[Path] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        content: bytes = envelope.original_content
        message = email.message_from_bytes(content, policy=email.policy.default)
        name = str(message["Message-ID"]).strip("<>").split("@")[0].replace("/", "_")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.eml"
        path.write_bytes(content)
        self.kept.append(path)
        html = message.get_body(("html",))
        if html is not None:
            path.with_suffix(".html").write_text(html.get_content(), "utf-8")
            self.kept.append(path.with_suffix(".html"))
        return "250 kept"


class _Controller(Controller):
    def _trigger_server(self) -> None:
        # aiosmtpd probes with the port it was given; ours is 0 until the system has chosen one.
        server: Any = self.server
        self.port = server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


class MailSink:
    """A context: an SMTP server at 127.0.0.1:`port`."""

    def __init__(self, data: Path):
        self._handler = _Keep(data / "mail")
        self._controller = _Controller(self._handler, hostname="127.0.0.1", port=0)

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def files(self) -> list[Path]:
        """What this run received."""
        return list(self._handler.kept)

    def __enter__(self) -> MailSink:
        self._controller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._controller.stop()
