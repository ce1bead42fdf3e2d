"""Downloads: whole or not at all, continued only when the server proves it is the same file."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline import transport
from pipeline.audio.download import DownloadedAudio, download, kind_of
from pipeline.errors import FetchError, GoneError, PodsiftError, RefusedError, WaitingError
from pipeline.settings import AudioSettings, FeedSettings

AUDIO = b"ID3" + bytes(range(256)) * 2000
Handler = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """One file at /a.mp3, answered by `answer`."""

    def __init__(self, answer: Handler):
        self.answer = answer
        self.ranges: list[str | None] = []


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    state = Server(whole())

    class Handle(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.ranges.append(self.headers["Range"])
            state.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handle) as s:
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        yield state, f"http://127.0.0.1:{s.server_address[1]}/a.mp3"
        s.shutdown()
        thread.join()


def whole(body: bytes = AUDIO, etag: str = '"v1"', cut: int | None = None, status: int = 200) -> Handler:
    def answer(h: BaseHTTPRequestHandler) -> None:
        h.send_response(status)
        h.send_header("ETag", etag)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body[:cut])

    return answer


def rest(body: bytes = AUDIO, shift: int = 0) -> Handler:
    def answer(h: BaseHTTPRequestHandler) -> None:
        assert h.headers["If-Range"] == '"v1"'
        start = int(h.headers["Range"].removeprefix("bytes=").rstrip("-")) + shift
        h.send_response(206)
        h.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        h.send_header("Content-Length", str(len(body) - start))
        h.end_headers()
        h.wfile.write(body[start:])

    return answer


def get(url: str, folder: Path, **limits: Any) -> DownloadedAudio:
    feed = FeedSettings(allow_hosts=("127.0.0.1",))  # type: ignore[call-arg]
    settings = AudioSettings(**({"min_free_bytes": 0} | limits))
    with transport.client(feed, timeout_s=5) as client:
        return download(client, url, folder / "1", settings)


def test_whole_and_hashed(server: tuple[Server, str], tmp_path: Path) -> None:
    got = get(server[1], tmp_path)
    assert (got.bytes, got.kind, got.sha256) == (len(AUDIO), "mp3", hashlib.sha256(AUDIO).hexdigest())
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_a_cut_download_is_continued(server: tuple[Server, str], tmp_path: Path) -> None:
    server[0].answer = whole(cut=200_000)
    with pytest.raises(PodsiftError):
        get(server[1], tmp_path)
    left = (tmp_path / "1.part").stat().st_size
    assert 0 < left <= 200_000
    server[0].answer = rest()
    got = get(server[1], tmp_path)
    assert server[0].ranges == [None, f"bytes={left}-"]
    assert got.sha256 == hashlib.sha256(AUDIO).hexdigest()


def test_other_bytes_start_again(server: tuple[Server, str], tmp_path: Path) -> None:
    server[0].answer = whole(cut=200_000)
    with pytest.raises(PodsiftError):
        get(server[1], tmp_path)
    other = b"ID3" + b"x" * 300_000
    server[0].answer = whole(other, etag='"v2"')  # If-Range does not match: the whole new file
    assert get(server[1], tmp_path).sha256 == hashlib.sha256(other).hexdigest()


def test_a_wrong_part_is_not_appended(server: tuple[Server, str], tmp_path: Path) -> None:
    server[0].answer = whole(cut=200_000)
    with pytest.raises(PodsiftError):
        get(server[1], tmp_path)
    server[0].answer = rest(shift=7)
    with pytest.raises(FetchError, match="another part"):
        get(server[1], tmp_path)
    assert not (tmp_path / "1").exists()
    server[0].answer = whole()
    assert get(server[1], tmp_path).sha256 == hashlib.sha256(AUDIO).hexdigest()
    assert server[0].ranges[-1] is None


def test_a_part_that_nobody_asked_for_is_not_the_file(server: tuple[Server, str], tmp_path: Path) -> None:
    server[0].answer = whole(AUDIO[:5000], status=206)
    with pytest.raises(FetchError, match="another part"):
        get(server[1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_weak_etag_continues_nothing(server: tuple[Server, str], tmp_path: Path) -> None:
    server[0].answer = whole(etag='W/"v1"', cut=200_000)
    with pytest.raises(PodsiftError):
        get(server[1], tmp_path)
    server[0].answer = whole()
    get(server[1], tmp_path)
    assert server[0].ranges == [None, None]


def test_a_slow_server_is_cut_off_and_continued(server: tuple[Server, str], tmp_path: Path) -> None:
    def slow(h: BaseHTTPRequestHandler) -> None:
        whole(cut=100_000)(h)
        stop.wait(10)

    stop = threading.Event()
    server[0].answer = slow
    try:
        with pytest.raises(FetchError, match="timed out"):
            get(server[1], tmp_path, timeout_s=0.5)
    finally:
        stop.set()
    server[0].answer = rest()
    assert get(server[1], tmp_path).sha256 == hashlib.sha256(AUDIO).hexdigest()


def test_retry_after_is_handed_on(server: tuple[Server, str], tmp_path: Path) -> None:
    def busy(h: BaseHTTPRequestHandler) -> None:
        h.send_response(429)
        h.send_header("Retry-After", "90")
        h.end_headers()

    server[0].answer = busy
    with pytest.raises(FetchError) as e:
        get(server[1], tmp_path)
    assert e.value.retry_after_s == 90


def test_a_disk_that_fills_up_waits(
    server: tuple[Server, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipeline.audio.download.os.fsync", full)
    with pytest.raises(WaitingError, match="disk space"):
        get(server[1], tmp_path)


@pytest.mark.parametrize(
    ("answer", "limits", "error"),
    [
        (whole(b"<html>not here</html>" * 100), {}, RefusedError),
        (whole(b"ID3"), {}, RefusedError),
        (whole(status=404), {}, GoneError),
        (whole(status=503), {}, FetchError),
        (whole(), {"max_bytes": 100_000}, RefusedError),
        (whole(), {"min_free_bytes": 10**18}, WaitingError),
    ],
    ids=["html", "tiny", "404", "503", "too large", "disk full"],
)
def test_refusals(
    server: tuple[Server, str], tmp_path: Path, answer: Handler, limits: dict[str, Any], error: type[PodsiftError]
) -> None:
    server[0].answer = answer
    with pytest.raises(error):
        get(server[1], tmp_path, **limits)
    assert not (tmp_path / "1").exists()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"ID3\x04", "mp3"), (b"\xff\xfb\x90", "mp3"), (b"\xff\xf1\x50", "aac"), (b"OggS", "ogg"), (b"fLaC", "flac"),
        (b"\0\0\0\x20ftypM4A ", "mp4"), (b"RIFF\0\0\0\0WAVE", "wav"), (b"\x1aE\xdf\xa3", "webm"),
        (b"<html", None), (b"", None), (b"OggS" + bytes(24) + b"OpusHead", "opus"),
        ("<html>".encode("utf-16"), None), (b"\xff\xfb", None), (b"\xff\xfb\xf0", None),
    ],
)  # fmt: skip
def test_kinds(head: bytes, kind: str | None) -> None:
    assert kind_of(head) == kind
