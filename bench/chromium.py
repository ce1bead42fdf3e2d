"""A headless Chromium, driven through its own protocol over a pipe: nothing listens on a port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--mute-audio", "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe",
]  # fmt: skip


_REFUSED = "the server responded with a status of 4"
"""Chromium logs each such answer; a form that is sent back with its mistakes (422) is nothing to complain about."""


class BrowserError(Exception):
    """Chromium answered with an error, or not in time."""


def find() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tab:
    """One page. Each call waits for its answer, at most `timeout_s`."""

    def __init__(self, send: int, receive: int, timeout_s: float = 30.0):
        self._send, self._receive = send, receive
        self._timeout_s = timeout_s
        self._next = 0
        self._buffer = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        """Addresses that pages asked for, since somebody cleared the list."""
        self.complaints: list[str] = []
        """What the browser holds against pages: broken policies, failed requests, exceptions of scripts."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol. Raises BrowserError."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        ends = time.monotonic() + self._timeout_s
        while True:
            said = self._read(ends, method)
            if said.get("id") == self._next:
                if "error" in said:
                    raise BrowserError(f"{method}: {said['error']['message']}")
                return dict(said["result"])
            self.events.append(said)

    def _read(self, ends: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select([self._receive], [], [], max(0.0, ends - time.monotonic()))[0]:
                raise BrowserError(f"{what} was not answered in {self._timeout_s} s")
            data = os.read(self._receive, 1 << 20)
            if not data:
                raise BrowserError("Chromium has gone")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        said = dict(json.loads(message))
        self._note(said.get("method", ""), said.get("params", {}))
        return said

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
            if _REFUSED in params["entry"]["text"]:
                return
            self.complaints.append(f"{params['entry']['text']} ({params['entry'].get('url', '')})")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"].get("exception", {}).get("description", "an exception"))

    def goto(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        with self.loading():
            error = self.call("Page.navigate", url=url).get("errorText")
        if error:
            raise BrowserError(f"{url}: {error}")

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Wait, after the block, until a page that the block opened is loaded."""
        self.events.clear()
        yield
        ends = time.monotonic() + self._timeout_s
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._read(ends, "the page"))

    def run(self, script: str) -> Any:
        """The value of an expression, awaited when it is a promise. Raises BrowserError with the page's exception."""
        said = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in said:
            details = said["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return said["result"].get("value")

    def wait(self, script: str, seconds: float = 10.0) -> Any:
        """Until an expression is true. Raises BrowserError."""
        ends = time.monotonic() + seconds
        while not (found := self.run(script)):
            if time.monotonic() > ends:
                raise BrowserError(f"never true: {script}")
            time.sleep(0.05)
        return found

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element. Raises BrowserError when another one covers it."""
        find = f"document.querySelector({json.dumps(selector)})"
        if not self.run(f"!!{find}"):
            raise BrowserError(f"no {selector} on {self.run('location.href')}")
        place = self.run(
            f"(() => {{ const e = {find}; e.scrollIntoView({{block: 'center', behavior: 'instant'}}); "
            "const r = e.getClientRects()[0]; const x = r.x + r.width / 2, y = r.y + r.height / 2; "
            "const hit = document.elementFromPoint(x, y); "
            "return [x, y, !!hit && (e.contains(hit) || hit.contains(e))] })()"
        )
        if not place[2]:
            raise BrowserError(f"{selector} is covered by something else")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def follow(self, selector: str) -> None:
        """Click, and wait for the page that this opens."""
        with self.loading():
            self.click(selector)

    def fill(self, selector: str, text: str) -> None:
        """Type over what a field holds."""
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """One key: `Tab` (9), `Enter` (13, text `\\r`)."""
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **extra)

    def scripts(self, *, allowed: bool) -> None:
        """Whether pages may run scripts of their own."""
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def look(self, width: int, *, dark: bool = False, height: int = 900, scale: float = 1.0) -> None:
        """Be a screen of so many pixels, light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path, *, limit: int = 6000) -> None:
        """The whole page as a PNG, cut after `limit` pixels."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], limit), "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser() -> Iterator[Tab]:
    """A fresh Chromium with an empty profile. Raises BrowserError where there is none."""
    path = find()
    if path is None:
        raise BrowserError("no Chromium here; install one (Debian: apt-get install chromium)")
    to_them, our_send = os.pipe()
    our_receive, from_them = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        command = [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(to_them), str(from_them), *command],
            pass_fds=(to_them, from_them), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_them)
        os.close(from_them)
        try:
            yield Tab(our_send, our_receive)
        finally:
            os.close(our_send)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(our_receive)
