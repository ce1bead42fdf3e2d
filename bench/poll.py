"""How fast feeds are polled, beside lemon24's `reader` on the same server in the same run.

python bench/poll.py FEEDS --reader-python ENV/bin/python     # docs/polling.md has the whole command and its figures

FEEDS is a folder of feed documents; 1,000 feeds are built from those that both programs read. A server in a process of
its own serves them on loopback, on many addresses, each answer 20 ms late. Every phase runs in a fresh process, ours
and the peer's in turn: the first poll, one where every feed answers 304, and one with two new episodes a feed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOSTS = 250
"""Addresses that the feeds are spread over, as a host is given two connections at most."""
LATENCY_S = 0.02
SET_UP = "set up"
"""Making the database and adding the feeds, in a process of its own, as both programs do it once."""
PHASES = ("first", "unchanged", "changed")
SAMPLE_S = 0.1
ROOT = Path(__file__).resolve().parents[1]
ITEM = re.compile(rb"<(item|entry)[\s>]")
NEW = {
    b"item": b"<item><title>New %d of feed %d</title><guid isPermaLink='false'>bench-new-%d-%d</guid>"
    b"<pubDate>Fri, 20 Nov 2026 08:0%d:00 GMT</pubDate><description>Two new ones.</description>"
    b"<enclosure url='https://media.example.org/%d/%d.mp3' length='1000' type='audio/mpeg'/></item>",
    b"entry": b"<entry><title>New %d of feed %d</title><id>bench-new-%d-%d</id>"
    b"<updated>2026-11-20T08:0%d:00Z</updated><summary>Two new ones.</summary>"
    b"<link rel='enclosure' href='https://media.example.org/%d/%d.mp3' type='audio/mpeg'/></entry>",
}


# --- documents and their server --------------------------------------------------------------------------------------


def document(source: bytes, feed: int, generation: int) -> bytes:
    """Feed number `feed`: a show of its own (titles and guids), and from generation 1 on two episodes more."""
    for end in (b"</title>", b"</guid>", b"</id>"):
        source = source.replace(end, b" %d%s" % (feed, end))
    if generation:
        found = ITEM.search(source)
        assert found
        more = b"".join(NEW[found[1]] % (k, feed, k, feed, k, feed, k) for k in (1, 2))
        source = source[: found.start()] + more + source[found.start() :]
    return source + b"\n<!-- feed %d, generation %d -->\n" % (feed, generation)


def address(feed: int) -> str:
    """The loopback address that serves a feed."""
    host = feed % HOSTS
    return f"127.9.{host // 250}.{host % 250 + 1}"


async def serve(files: list[Path], port: int) -> None:
    """Answer `/feed/N` late, with an ETag; `/generation/N` switches what is served."""
    sources = [f.read_bytes() for f in files]
    loop = asyncio.get_running_loop()
    now = 0

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport, self.head = transport, b""

        def data_received(self, data: bytes) -> None:
            self.head += data
            while (end := self.head.find(b"\r\n\r\n")) >= 0:
                head, self.head = self.head[:end], self.head[end + 4 :]
                loop.call_later(LATENCY_S, self.answer, head)

        def answer(self, head: bytes) -> None:
            nonlocal now
            _, kind, number = head.split(b" ", 2)[1].split(b"/")
            n = int(number)
            if kind == b"generation":
                now = n
            tag = b'"%d-%d"' % (n, now)
            if b"if-none-match: " + tag in head.replace(b"If-None-Match", b"if-none-match"):
                self.transport.write(b"HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n" % tag)
                return
            body = document(sources[n % len(sources)], n, now) if kind == b"feed" else b""
            kind_is = b"Content-Type: application/xml\r\n"
            answer = b"HTTP/1.1 200 OK\r\nETag: %s\r\n%sContent-Length: %d\r\n\r\n" % (tag, kind_is, len(body))
            self.transport.write(answer + body)

    hosts = ["127.0.0.1", *sorted({address(k) for k in range(HOSTS)})]
    server = await loop.create_server(Connection, hosts, port, backlog=512)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


# --- one phase, in a process of its own ------------------------------------------------------------------------------


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(r.ru_utime + r.ru_stime for r in both)


def ours(folder: Path, phase: str, urls: list[str]) -> dict[str, Any]:
    """One pass of Podsift over all feeds."""
    from pipeline.clock import SystemClock
    from pipeline.feed.poll import poll_due
    from pipeline.settings import load
    from pipeline.store import feeds
    from pipeline.store.database import open_database
    from pipeline.store.tables import feed

    hosts = sorted({address(k) for k in range(HOSTS)})
    (folder / "podsift.toml").write_text(f"[feed]\nallow_hosts = {json.dumps(hosts)}\n", "utf-8")
    environ = {"PODSIFT_CONFIG": str(folder / "podsift.toml"), "PODSIFT_DATA_DIR": str(folder)}
    settings, clock = load(environ=environ), SystemClock()
    db = open_database(settings)
    with db.begin() as conn:
        if phase == SET_UP:
            for url in urls:
                feeds.add(conn, url, clock.now())
        else:
            conn.execute(feed.update().values(next_poll_at=None))
    if phase == SET_UP:
        db.close()
        return {}
    began, cpu = time.perf_counter(), cpu_s()
    polled = poll_due(db, settings, clock)
    result = {"seconds": time.perf_counter() - began, "cpu": cpu_s() - cpu}
    bad = [p.error for p in polled if p.error]
    assert len(polled) == len(urls) and not bad, (len(polled), len(bad), bad[:3])
    db.close()
    return result | {"new": sum(p.new for p in polled)}


def peer(folder: Path, phase: str, urls: list[str], workers: int) -> dict[str, Any]:
    """The same by `reader` with its own worker threads; `scheduled=False` makes it poll again at once."""
    from reader import make_reader  # type: ignore[import-not-found, unused-ignore]

    reader = make_reader(str(folder / "reader.sqlite"))
    if phase == SET_UP:
        for url in urls:
            reader.add_feed(url)
        reader.close()
        return {}
    began, cpu = time.perf_counter(), cpu_s()
    values = [r.value for r in reader.update_feeds_iter(scheduled=False, workers=workers)]
    result = {"seconds": time.perf_counter() - began, "cpu": cpu_s() - cpu}
    bad = [v for v in values if isinstance(v, Exception)]
    unchanged = sum(v is None for v in values)
    assert len(values) == len(urls) and not bad, (len(values), len(bad), bad[:3])
    assert (unchanged == len(urls)) is (phase == "unchanged"), unchanged
    reader.close()
    return result | {"new": sum(v.new for v in values if v is not None)}


# --- the driver ------------------------------------------------------------------------------------------------------


def tree_bytes(pid: int) -> tuple[int, int, int]:
    """Memory of a process and its descendants: the sum of proportional sizes (shared pages count once), the sum of
    resident sizes (they count once a process), and the proportional size of the first process alone."""
    import psutil

    sizes = []
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for p in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                found = p.memory_full_info()
                sizes.append((found.pss, found.rss))
    return sum(p for p, _ in sizes), sum(r for _, r in sizes), sizes[0][0] if sizes else 0


def measured(command: list[str]) -> dict[str, Any]:
    """Run one phase; its own figures and the peaks of its tree's memory in bytes."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        peaks = (0, 0, 0)
        while child.poll() is None:
            pss, rss, alone = map(max, zip(peaks, tree_bytes(child.pid), strict=True))
            peaks = pss, rss, alone
            time.sleep(SAMPLE_S)
        assert child.stdout is not None
        said = child.stdout.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ended with {child.returncode}")
    figures: dict[str, Any] = json.loads(said.splitlines()[-1])
    return figures | dict(zip(("pss", "rss", "first_pss"), peaks, strict=True))


@contextlib.contextmanager
def server(files: list[Path], port: int) -> Iterator[None]:
    """The server in its own process."""
    command = [sys.executable, __file__, "serve", str(port), *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            if child.stdout.readline().strip() != "ready":
                raise SystemExit("the server did not start")
            yield
        finally:
            child.terminate()


def switch(port: int, generation: int) -> None:
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/generation/{generation}") as answer:
        answer.read()


def usable(folder: Path, reader_python: str | None) -> list[Path]:
    """The documents that have episodes and that both programs read."""
    from pipeline.errors import PodsiftError
    from pipeline.feed.parse import parse

    found = []
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".xml", ".rss", ".atom")):
        with contextlib.suppress(PodsiftError):
            body = path.read_bytes()
            read = parse(document(body, 1, int(ITEM.search(body) is not None)), "http://x/")
            # What names another address would be asked for there, outside of this machine.
            if ITEM.search(body) and read.episodes and not read.new_feed_url and not read.next_page_url:
                found.append(path)
    if reader_python:
        code = (
            "import sys, io; from reader._parser.feedparser import FeedparserParser as P\n"
            "for f in sys.argv[1:]:\n"
            "    try: P()('x', open(f, 'rb')); print(f)\n"
            "    except Exception: pass"
        )
        said = subprocess.run(
            [reader_python, "-W", "ignore", "-c", code, *map(str, found)], stdout=-1, text=True
        ).stdout
        found = [Path(line) for line in said.splitlines()]
    return found


def table(rows: list[dict[str, Any]], feeds: int) -> str:
    """The medians, as the document has them."""
    head = "| phase | program | feeds/s | ratio | CPU s | peak MB (PSS) | (RSS) |\n|---|---|---|---|---|---|---|\n"
    lines = []
    for phase in dict.fromkeys(r["phase"] for r in rows):
        of = {who: [r for r in rows if r["phase"] == phase and r["who"] == who] for who in ("podsift", "reader")}
        pairs = zip(of["podsift"], of["reader"], strict=False)
        ratios = [theirs["seconds"] / mine["seconds"] for mine, theirs in pairs]
        for who, runs in of.items():
            if runs:
                rate = feeds / statistics.median(r["seconds"] for r in runs)
                cpu = statistics.median(r["cpu"] for r in runs)
                pss, rss = (max(r[size] for r in runs) / 1e6 for size in ("pss", "rss"))
                ratio = f"{statistics.median(ratios):.1f}" if ratios and who == "podsift" else ""
                lines.append(f"| {phase} | {who} | {rate:.0f} | {ratio} | {cpu:.1f} | {pss:.0f} | {rss:.0f} |")
    return head + "\n".join(lines)


def compare(args: argparse.Namespace) -> None:
    files = usable(args.folder, args.reader_python)
    if not files:
        raise SystemExit(f"{args.folder} holds no feed that can be used")
    sizes = [f.stat().st_size for f in files]
    print(
        f"{args.feeds} feeds from {len(files)} documents, {statistics.mean(sizes) / 1000:.0f} kB on average", flush=True
    )
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, server(files, args.port):
        work = Path(name)
        for turn in range(args.turns):
            for folder in (work / "podsift", work / "reader"):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            for phase in (SET_UP, *args.phases):
                switch(args.port, int(phase == "changed"))
                rest = [phase, str(args.feeds), str(args.port)]
                mine = [sys.executable, "-P", __file__, "ours", str(work / "podsift"), *rest]
                todo = [("podsift", mine)]
                if args.reader_python:
                    theirs = [
                        args.reader_python,
                        "-W",
                        "ignore",
                        __file__,
                        "peer",
                        str(work / "reader"),
                        *rest,
                        str(args.workers),
                    ]
                    todo.append(("reader", theirs))
                for who, command in todo if turn % 2 == 0 else reversed(todo):
                    row = {"phase": phase, "who": who, "turn": turn} | measured(command)
                    if phase == SET_UP:
                        continue
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    print(table(rows, args.feeds))


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve([Path(f) for f in sys.argv[3:]], int(sys.argv[2])))
        return
    if sys.argv[1:2] in (["ours"], ["peer"]):
        folder, phase, count, port = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
        urls = [f"http://{address(k)}:{port}/feed/{k}" for k in range(count)]
        if sys.argv[1] == "ours":
            sys.path.insert(0, str(ROOT))
            result = ours(folder, phase, urls)
        else:
            result = peer(folder, phase, urls, int(sys.argv[6]))
        print(json.dumps(result))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--feeds", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--phases", nargs="+", default=list(PHASES), choices=PHASES)
    parser.add_argument("--reader-python", help="interpreter of an environment with `reader`")
    parser.add_argument("--workers", type=int, default=16, help="reader's worker threads")
    parser.add_argument("--port", type=int, default=8765)
    sys.path.insert(0, str(ROOT))
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
