"""A worker killed in the middle of a long file loses that file's work only, and the next start finishes it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import av
import psutil
import pytest

from bench.sound import demo
from pipeline import weights
from pipeline.resources import resource
from tests.fakes.http_server import Answer, send, serve

pytestmark = [
    pytest.mark.whisper,
    pytest.mark.xdist_group("whisper"),
    pytest.mark.skipif(not weights.has_whisper_base(), reason="the packages with the whisper-base weights are missing"),
]
IN_HAND = "SELECT count(*) FROM episode WHERE guid = 'long' AND stage = 'transcribe' AND attempts = 1"
FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Long and short</title><language>en</language>
<item><title>The short one</title><guid>short</guid><pubDate>{date}</pubDate>
<enclosure url="{base}/short.mp3" type="audio/mpeg" length="1"/></item>
<item><title>The long one</title><guid>long</guid><pubDate>{date}</pubDate>
<enclosure url="{base}/long.mp3" type="audio/mpeg" length="1"/></item></channel></rss>"""


def end_to_end(path: Path, names: list[str], times: int) -> float:
    """The demo's episodes one after the other, again and again, as one MP3; its seconds."""
    files = [e["path"] for e in demo() if e["id"] in names] * times
    at = 0
    with av.open(str(path), "w") as target:
        stream: Any = None
        for file in files:
            with av.open(str(file)) as source:
                stream = stream or target.add_stream_from_template(source.streams.audio[0])
                base, last = at, 0
                for packet in source.demux(source.streams.audio[0]):
                    if packet.pts is None:
                        continue
                    last = packet.pts + (packet.duration or 0)
                    packet.pts = packet.dts = base + packet.pts
                    at = base + last
                    packet.stream = stream
                    target.mux(packet)
        return float(at * stream.time_base)


def podsift(*argv: str) -> list[str]:
    return [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()", *argv]


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{folder / 'data/podsift.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def working(pid: int) -> psutil.Process | None:
    """The Whisper process of a run, as the one of its children that holds the most memory."""
    try:
        found = psutil.Process(pid).children(recursive=True)
        return max(found, key=lambda p: p.memory_info().rss, default=None)
    except psutil.NoSuchProcess:
        return None


def slowly(folder: Path, body: bytes) -> Answer:
    """The long file, of which the end comes only when the short one is heard: so the order is always the same."""

    def answer(h: BaseHTTPRequestHandler) -> None:
        h.send_response(200)
        h.send_header("Content-Type", "audio/mpeg")
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        at = 0
        until = time.monotonic() + 300
        while at + 1024 < len(body) and time.monotonic() < until and not rows(folder, "SELECT 1 FROM transcript"):
            h.wfile.write(body[at : at + 1024])
            at += 1024
            time.sleep(0.2)
        h.wfile.write(body[at:])

    return answer


@pytest.mark.parametrize(
    ("names", "times", "least_s", "kill_cpu_s"),
    [
        # Nearly three minutes; killed 5 CPU-seconds into about 14.
        (["slow-software-01"], 1, 160, 5.0),
        pytest.param([e["id"] for e in demo()], 6, 3600, 120.0, marks=pytest.mark.slow, id="an-hour"),
    ],
)
def test_killed_in_the_middle_of_a_long_file(
    tmp_path: Path, names: list[str], times: int, least_s: float, kill_cpu_s: float
) -> None:
    seconds = end_to_end(tmp_path / "long.mp3", names, times)
    assert seconds > least_s
    short = resource("selftest.mp3").read_bytes()
    with serve() as site:
        feed = FEED.format(base=site.base, date=formatdate(time.time() - 3600))
        site.answers |= {
            "/feed.xml": send(feed.encode(), Content_Type="application/rss+xml"),
            "/short.mp3": send(short, Content_Type="audio/mpeg"),
            "/long.mp3": slowly(tmp_path, (tmp_path / "long.mp3").read_bytes()),
        }
        (tmp_path / "t.toml").write_text("")
        env = {name: value for name, value in os.environ.items() if not name.startswith("PODSIFT_")} | {
            "PODSIFT_CONFIG": str(tmp_path / "t.toml"),
            "PODSIFT_DATA_DIR": str(tmp_path / "data"),
            "PODSIFT_SECRET_KEY": "k1:" + "x" * 40,
            "PODSIFT_FEED_ALLOW_HOSTS": site.host,
        }

        def call(*argv: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(podsift(*argv), env=env, capture_output=True, text=True, timeout=1800, check=False)

        added = call("feed", "add", f"{site.base}/feed.xml")
        assert added.returncode == 0, added.stderr
        running = subprocess.Popen(podsift("run"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            begun: float | None = None
            until = time.monotonic() + 1200
            while time.monotonic() < until and running.poll() is None:
                child = working(running.pid)
                try:
                    used = sum(child.cpu_times()[:2]) if child is not None else 0.0
                except psutil.NoSuchProcess:
                    used = 0.0
                finished = rows(tmp_path, "SELECT count(*) FROM transcript")[0][0]
                if finished == 1 and rows(tmp_path, IN_HAND)[0][0]:
                    begun = used if begun is None else begun
                    if used - begun >= kill_cpu_s:
                        break
                time.sleep(0.05)
            assert running.poll() is None, "the run ended before it could be killed"
            orphan = working(running.pid)
        finally:
            running.send_signal(signal.SIGKILL)
            running.wait()
        kept = rows(tmp_path, "SELECT episode_id, made_at, duration_s FROM transcript")
        assert len(kept) == 1
        assert rows(tmp_path, IN_HAND) == [(1,)]
        assert orphan is not None
        _, alive = psutil.wait_procs([orphan], timeout=15)
        assert not alive, "the Whisper process outlived its worker"

        again = call("run")
        assert again.returncode == 0, again.stdout + again.stderr
    # The short one was not heard again, the long one is there once and whole.
    found = rows(tmp_path, "SELECT episode_id, made_at, duration_s FROM transcript ORDER BY duration_s")
    assert len(found) == 2 and found[0] == kept[0]
    assert found[1][2] == pytest.approx(seconds, abs=1.0)
    assert {stage for (stage,) in rows(tmp_path, "SELECT stage FROM episode")} == {"done"}
    ((last,),) = rows(tmp_path, "SELECT max(s.end) FROM sentence s")
    assert last > seconds - 15
    assert not list((tmp_path / "data/audio").glob("*.mp3"))
