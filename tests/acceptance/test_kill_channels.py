"""kill -9 of a process that posts to channels, what gets the posts outliving it: nothing lost, and what may be there
twice is marked as the same post, or left to a person."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline.channel.ways import WAYS, sealed
from pipeline.digest.compose import build
from pipeline.settings import Settings, load
from pipeline.store import channels, subscribers
from pipeline.store.database import open_database
from tests.fakes.http_server import Site, serve
from tests.fakes.rows import add_insights, add_subscriber

RUN = [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()"]
KINDS = ("webhook", "chat", "folder")


class Killer:
    """Kills the process that posts: at the n-th step from now, be it of a web request or of a file."""

    def __init__(self) -> None:
        self.victim: subprocess.Popen[bytes] | None = None
        self.left: int | None = None
        self.kills: Counter[str] = Counter()
        self._lock = threading.Lock()

    def step(self, what: str) -> bool:
        """Whether the process was killed here."""
        with self._lock:
            if self.left is None or self.victim is None:
                return False
            self.left -= 1
            if self.left > 0:
                return False
            self.left = None
            with suppress(ProcessLookupError):
                os.kill(self.victim.pid, signal.SIGKILL)
            self.victim.wait()
            self.kills[what] += 1
            return True

    def at_request(self, h: BaseHTTPRequestHandler) -> None:
        """The whole post is there; a kill before the answer, and one after it."""
        kind = h.path.split("/")[1]
        if self.step(f"{kind}, taken and not answered"):
            h.close_connection = True
            return
        h.send_response(200)
        h.send_header("Content-Length", "0")
        h.end_headers()
        h.wfile.flush()
        self.step(f"{kind}, answered")

    def watch(self, folder: Path, over: threading.Event) -> None:
        """Steps as files come and are put in place."""
        seen: set[str] = set()
        while not over.is_set():
            for name in {str(p) for p in folder.glob("*/*")} | {str(p) for p in folder.glob("*/.*.part")}:
                if name not in seen:
                    seen.add(name)
                    self.step("folder, half written" if name.endswith(".part") else "folder, in place")
            time.sleep(0.0005)


def installation(folder: Path, host: str, base: str, readers: int, url: str | None) -> tuple[Settings, dict[str, str]]:
    """Readers with a digest and a channel of each kind; the folders are under `folder`/notes."""
    (folder / "podsift.toml").write_text(
        'data_dir = "data"\nsecret_key = "k1:0123456789abcdef0123456789"\n'
        + (f'[database]\nurl = "{url}"\n' if url else "")
        + f'[channel]\nallow_hosts = ["{host}"]\n'
    )
    settings = load(folder / "podsift.toml", {})
    db = open_database(settings)
    now = datetime.now(UTC) - timedelta(minutes=1)
    with db.begin() as conn:
        add_insights(conn, now, ["Queues lie about lateness.", "Bread is baked twice."])
        for k in range(readers):
            who = add_subscriber(conn, now, f"reader{k}@example.org", nonce=f"{k:032x}")
            who = subscribers.change(conn, who.id, {"by_mail": False}, now)
            notes = folder / "notes" / str(k)
            notes.mkdir(parents=True)
            for kind, address in (
                ("webhook", f"{base}/webhook/{k}"), ("chat", f"json://{host}/chat/{k}"), ("folder", f"folder:{notes}"),
            ):  # fmt: skip
                text = sealed(WAYS[kind].place(address, settings), settings)
                channels.add(conn, who.id, kind, f"{kind}-{k}", text, address, now)
            assert build(conn, who, settings, lambda *_: None, now) is not None
    db.close()
    return settings, {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")}


def states(settings: Settings) -> dict[str, str]:
    """Channel -> state of its one post."""
    db = open_database(settings)
    try:
        with db.begin(reads=True) as conn:
            return {r["channel"]: r["state"] for r in channels.deliveries(conn, limit=10_000)}
    finally:
        db.close()


def storm(folder: Path, settings: Settings, environ: dict[str, str], killer: Killer, kills: int, seed: int) -> None:
    """Post under kills until nothing waits."""
    rng = random.Random(seed)
    for _ in range(kills * 3 + 20):
        hit = killer.kills.total()
        killer.left = rng.randrange(1, 7) if hit < kills else None
        posting = subprocess.Popen(
            [*RUN, "digest", "send"], cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        killer.victim = posting
        _, said = posting.communicate(timeout=120)
        killer.victim = None
        assert posting.returncode in (0, -signal.SIGKILL), said.decode()
        if posting.returncode == 0 and not {"queued", "posting", "deferred"} & set(states(settings).values()):
            return
    raise AssertionError(Counter(states(settings).values()))


def proven(folder: Path, settings: Settings, site: Site, killer: Killer, readers: int) -> dict[str, int]:
    """The promises of docs/channels.md, counted at the other side."""
    found, posts = states(settings), defaultdict[str, list[tuple[str, bytes]]](list)
    assert len(found) == readers * len(KINDS)
    for (path, headers), body in zip(site.asked, site.posted, strict=True):
        posts[path.strip("/").replace("/", "-")].append((headers.get("webhook-id", ""), body))
    webhooks = {c: posts[c] for c in found if c.startswith("webhook")}
    assert all(found[c] == "sent" and sent for c, sent in webhooks.items()), "a webhook's post was lost"
    assert all(len(set(sent)) == 1 and sent[0][0] for sent in webhooks.values()), "a repeated post is not the same"
    assert len({sent[0][0] for sent in webhooks.values()}) == readers, "two posts have one id"
    chats = {c: posts[c] for c in found if c.startswith("chat")}
    assert all(len(sent) == 1 for sent in chats.values()), "a chat's post was lost, or made twice"
    assert {found[c] for c in chats} <= {"sent", "uncertain"}
    for k in range(readers):
        (file,) = (folder / "notes" / str(k)).iterdir()
        assert found[f"folder-{k}"] == "sent" and "Queues lie about lateness." in file.read_text("utf-8")
    unsure = [c for c in chats if found[c] == "uncertain"]
    command = [*RUN, "channel", "log", "--state", "uncertain", "--json"]
    shown = subprocess.run(command, cwd=folder, env=dict(os.environ), capture_output=True, check=True, timeout=60)
    assert sorted(r["channel"] for r in json.loads(shown.stdout)) == sorted(unsure)
    extra = sum(len(sent) - 1 for sent in webhooks.values())
    assert extra <= sum(n for what, n in killer.kills.items() if what.startswith("webhook"))
    assert len(unsure) <= sum(n for what, n in killer.kills.items() if what.startswith("chat"))
    return {
        "digests, each to a webhook, a chat and a folder": readers,
        **{f"killed: {what}": n for what, n in sorted(killer.kills.items())},
        "webhook posts that came again, with the same id and bytes": extra,
        "chat posts left to a person": len(unsure),
    }


def tried(folder: Path, readers: int, kills: int, url: str | None = None) -> dict[str, int]:
    killer, over = Killer(), threading.Event()
    with serve() as site:
        for k in range(readers):
            site.answers |= {f"/webhook/{k}": killer.at_request, f"/chat/{k}": killer.at_request}
        settings, environ = installation(folder, site.host, site.base, readers, url)
        watching = threading.Thread(target=killer.watch, args=(folder / "notes", over))
        watching.start()
        try:
            storm(folder, settings, environ, killer, kills, seed=kills)
        finally:
            over.set()
            watching.join()
        assert killer.kills.total() == kills
        return proven(folder, settings, site, killer, readers)


@pytest.mark.parametrize(
    ("where", "readers", "kills"), [("sqlite", 4, 6), pytest.param("postgres", 2, 3, marks=pytest.mark.postgres)]
)
def test_kills_while_posting_in_short(
    where: str, readers: int, kills: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tried(tmp_path, readers, kills, request.getfixturevalue("postgres_url") if where == "postgres" else None)


@pytest.mark.slow
def test_kills_while_posting(tmp_path: Path) -> None:
    print("\n".join(f"{n:6}  {what}" for what, n in tried(tmp_path, 60, 40).items()))
