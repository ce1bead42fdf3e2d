"""Downloads: whole or not at all, continued only when the server proves it is the same file."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import time
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
NO_FLOOR: dict[str, Any] = {"min_free_bytes": 0}


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


def held_up(server: Server, folder: Path, url: str, stop: threading.Event) -> tuple[threading.Thread, list[Any]]:
    """A download of another episode that stands still after its first bytes."""

    def slow(h: BaseHTTPRequestHandler) -> None:
        h.send_response(200)
        h.send_header("Content-Length", str(len(AUDIO)))
        h.end_headers()
        h.wfile.write(AUDIO[:100_000])
        stop.wait(20)
        h.wfile.write(AUDIO[100_000:])

    def other() -> None:
        with transport.client(FeedSettings(allow_hosts=("127.0.0.1",)), timeout_s=20) as client:  # type: ignore[call-arg]
            done.append(download(client, url, folder / "2", AudioSettings(**NO_FLOOR)))

    done: list[Any] = []
    server.answer = slow
    thread = threading.Thread(target=other)
    thread.start()
    until = time.monotonic() + 10
    while not (folder / "2.part").exists() or (folder / "2.part").stat().st_size == 0:
        assert time.monotonic() < until
        time.sleep(0.01)
    return thread, done


def test_what_downloads_in_flight_need_is_theirs(
    server: tuple[Server, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": len(AUDIO) + 100_000})
    monkeypatch.setattr("pipeline.audio.space.shutil.disk_usage", lambda _folder: usage)
    stop = threading.Event()
    thread, done = held_up(server[0], tmp_path, server[1], stop)
    try:
        server[0].answer = whole()
        with pytest.raises(WaitingError, match="for downloads in flight"):
            get(server[1], tmp_path)
    finally:
        stop.set()
        thread.join()
    assert done[0].bytes == len(AUDIO)
    # What stayed behind of one that has ended holds nothing back.
    (tmp_path / "3.part.json").write_text(json.dumps({"validator": "x", "total": 10**12}))
    (tmp_path / "3.lock").write_text("")
    assert get(server[1], tmp_path).bytes == len(AUDIO)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "3.lock", "3.part.json"]


def test_two_do_not_write_one_file(server: tuple[Server, str], tmp_path: Path) -> None:
    stop = threading.Event()
    thread, done = held_up(server[0], tmp_path, server[1], stop)
    try:
        with (
            transport.client(FeedSettings(allow_hosts=("127.0.0.1",))) as client,  # type: ignore[call-arg]
            pytest.raises(WaitingError, match="Another process"),
        ):
            download(client, server[1], tmp_path / "2", AudioSettings(**NO_FLOOR))
    finally:
        stop.set()
        thread.join()
    assert done[0].sha256 == hashlib.sha256(AUDIO).hexdigest()


def test_below_the_floor_nobody_is_asked(server: tuple[Server, str], tmp_path: Path) -> None:
    with pytest.raises(WaitingError, match="stay reserved"):
        get(server[1], tmp_path, min_free_bytes=10**18)
    assert server[0].ranges == []


def test_a_disk_that_others_fill_stops_it_and_it_goes_on_later(
    server: tuple[Server, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.audio.download.SPACE_EVERY", 100_000)
    free = iter([10**9, 10**9, 5])
    monkeypatch.setattr(
        "pipeline.audio.space.shutil.disk_usage", lambda _f: type("usage", (), {"free": next(free, 10**9)})
    )
    with pytest.raises(WaitingError):
        get(server[1], tmp_path)
    left = (tmp_path / "1.part").stat().st_size
    server[0].answer = rest()
    assert get(server[1], tmp_path).sha256 == hashlib.sha256(AUDIO).hexdigest()
    assert server[0].ranges == [None, f"bytes={left}-"] and left


def test_a_server_that_stalls_is_left_long_before_the_total_time(server: tuple[Server, str], tmp_path: Path) -> None:
    def stall(h: BaseHTTPRequestHandler) -> None:
        whole(cut=1000)(h)
        stop.wait(10)

    stop = threading.Event()
    server[0].answer = stall
    began = time.monotonic()
    try:
        with (
            transport.client(FeedSettings(allow_hosts=("127.0.0.1",)), timeout_s=0.5) as client,  # type: ignore[call-arg]
            pytest.raises(FetchError, match="timed out"),
        ):
            download(client, server[1], tmp_path / "1", AudioSettings(**NO_FLOOR))
    finally:
        stop.set()
    assert time.monotonic() - began < 5


def test_one_without_a_length_starts_again(server: tuple[Server, str], tmp_path: Path) -> None:
    def chunked(h: BaseHTTPRequestHandler) -> None:
        h.protocol_version = "HTTP/1.1"
        h.send_response(200)
        h.send_header("ETag", '"v1"')
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        h.wfile.write(b"%x\r\n%s\r\n" % (100_000, AUDIO[:100_000]))
        h.close_connection = True

    server[0].answer = chunked
    with pytest.raises(FetchError):
        get(server[1], tmp_path)
    server[0].answer = whole()
    assert get(server[1], tmp_path).sha256 == hashlib.sha256(AUDIO).hexdigest()
    assert server[0].ranges == [None, None]


def test_the_published_address_is_asked_each_time(server: tuple[Server, str], tmp_path: Path) -> None:
    """Also for the rest: the address that a redirect gave may be signed for an hour."""

    def moved(h: BaseHTTPRequestHandler) -> None:
        asked.append(h.path)
        if h.path == "/a.mp3":
            h.send_response(302)
            h.send_header("Location", f"/signed?{len(asked)}")
            h.send_header("Content-Length", "0")
            h.end_headers()
        else:
            (rest() if h.headers["Range"] else whole(cut=200_000))(h)

    asked: list[str] = []
    server[0].answer = moved
    with pytest.raises(FetchError):
        get(server[1], tmp_path)
    assert get(server[1], tmp_path).sha256 == hashlib.sha256(AUDIO).hexdigest()
    assert asked == ["/a.mp3", "/signed?1", "/a.mp3", "/signed?3"]


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
