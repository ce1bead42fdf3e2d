"""kill -9 of a sending process at every step, the mail server outliving it: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.digest.compose import build
from pipeline.settings import Settings, load
from pipeline.store.database import open_database
from pipeline.store.tables import outbox
from tests.fakes.rows import add_insights, add_subscriber
from tests.fakes.smtp import ScriptedServer

RUN = [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()"]


@dataclass
class Place:
    """An installation in a folder, with mails that wait."""

    folder: Path
    environ: dict[str, str]
    settings: Settings

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*RUN, *command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A job in the background of a shell hands down a SIGINT that is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def states(self) -> dict[str, str]:
        """Message-ID -> state."""
        db = open_database(self.settings)
        try:
            with db.begin(reads=True) as conn:
                return {r.message_id: r.state for r in conn.execute(select(outbox.c.message_id, outbox.c.state))}
        finally:
            db.close()


def place(folder: Path, port: int, mails: int, url: str | None = None, **smtp: float) -> Place:
    lines = [f"{k} = {v}" for k, v in ({"retry_minutes": 0, "breaker": 1000, "timeout_s": 1.0} | smtp).items()]
    (folder / "podsift.toml").write_text(
        'data_dir = "."\nsecret_key = "k1:0123456789abcdef0123456789"\n'
        + (f'[database]\nurl = "{url}"\n' if url else "")
        + f'[smtp]\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'
        + "\n".join(lines)
    )
    settings = load(folder / "podsift.toml", {})
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")}
    db = open_database(settings)
    now = datetime.now(UTC) - timedelta(minutes=1)
    with db.begin() as conn:
        add_insights(conn, now, ["A claim that stands."])
        for k in range(mails):
            who = add_subscriber(conn, now, f"reader{k}@{k % 7}.example.org")
            assert build(conn, who, settings, lambda *_: None, now) is not None
    db.close()
    return Place(folder, environ, settings)


STEPS = [
    (step, side, "sent" if step in ("EHLO", "MAIL", "RCPT") else "uncertain")
    for step in ("EHLO", "MAIL", "RCPT", "DATA", "dot")
    for side in ("before", "after")
]
STEPS[5] = ("RCPT", "after", "either")  # the kill races the commit of `transmitting`
STEPS[9] = ("dot", "after", "either")  # the kill races the commit of `sent`


@pytest.mark.parametrize(("step", "side", "then"), STEPS)
def test_kill_9_at_each_step(step: str, side: str, then: str, tmp_path: Path) -> None:
    with ScriptedServer() as server:
        at = place(tmp_path, server.port, 1, connections=1)
        server.kill_on = (step, side)
        # The server learns whom to kill before it is asked: the process has to start first.
        sending = at.run("digest", "send")
        server.victim = sending.pid
        assert sending.wait(60) == -signal.SIGKILL
        sending.communicate()
        for _ in range(2):
            at.run("digest", "send").communicate(timeout=60)
        (state,) = at.states().values()
        assert state == then or (then == "either" and state in ("sent", "uncertain"))
        assert sum(server.seen.whole.values()) <= 1
        assert state != "sent" or sum(server.seen.taken.values()) == 1


class Trouble:
    """A server's moods, drawn per recipient and step: now and then a refusal, a closed line, a hang."""

    def __init__(self, seed: int, hangs: float):
        self._rng = random.Random(seed)
        self._hangs = hangs

    def __call__(self, step: str, to: str) -> str:
        kind = zlib.crc32(to.encode()) % 40 if to else -1
        if kind == 0 and step == "RCPT":
            return "550 5.1.1 no such user"
        if kind == 1 and step == "dot":
            return "554 5.6.0 not this mail"
        if kind == 2 and step == "DATA":
            return "554 5.5.1 no"
        x = self._rng.random()
        for weight, how in (
            (0.02, "451 4.3.0 later"), (0.01, "421 busy"), (0.01, "close"), (0.01, "shut"), (0.002, "550 5.7.1 policy"),
            (self._hangs, "hang"),
        ):  # fmt: skip
            x -= weight
            if x < 0:
                return how
        return "ok"


def storm(at: Place, server: ScriptedServer, kills: int, seed: int) -> int:
    """Send under kills until nothing waits. Returns how many kills hit."""
    rng = random.Random(seed)
    hit = 0
    for _ in range(kills * 3 + 200):
        server.kill_at = rng.randrange(1, 70) if hit < kills else None
        sending = at.run("digest", "send")
        server.victim = sending.pid
        sending.communicate(timeout=300)
        server.victim = None
        hit += sending.returncode == -signal.SIGKILL
        if not {"queued", "claimed", "deferred", "transmitting"} & set(at.states().values()):
            return hit
    raise AssertionError(Counter(at.states().values()))


def proven(at: Place, server: ScriptedServer, mails: int) -> Counter[str]:
    """What has to hold at the end, counted at the server by Message-ID."""
    states, seen = at.states(), server.seen
    assert len(states) == mails
    doubled = {m: n for m, n in seen.taken.items() if n > 1}
    assert doubled == {}, "a mail was taken twice"
    for message_id, state in states.items():
        if state == "sent":
            assert seen.taken[message_id] == 1
        elif state == "failed":
            assert seen.taken[message_id] == 0
        else:
            assert state == "uncertain"
    # Whatever the server has whole without the sender knowing its word is held for a person, and nothing else was
    # handed over a second time.
    for message_id, n in seen.whole.items():
        known = seen.refused[message_id] + (states[message_id] == "sent")
        assert n - known <= (states[message_id] == "uncertain")
    shown = at.run("outbox", "list", "--state", "uncertain", "--json").communicate(timeout=60)[0]
    listed = {r["message_id"] for r in json.loads(shown)}
    uncertain = {m for m, s in states.items() if s == "uncertain"}
    assert listed == uncertain if len(uncertain) <= 100 else listed < uncertain
    return Counter(states.values())


def table(at: Place, server: ScriptedServer, kills: int) -> dict[str, int]:
    """What came of it, as docs/delivery.md shows it; left in artefacts/ too."""
    states, seen = at.states(), server.seen
    unsure = [m for m, s in states.items() if s == "uncertain"]
    found = {
        "mails": len(states),
        "kills that hit": kills,
        **{f"rows {s}": n for s, n in sorted(Counter(states.values()).items())},
        "handed over whole": sum(seen.whole.values()),
        "taken (250 written)": sum(seen.taken.values()),
        "refused after the dot": sum(seen.refused.values()),
        "taken twice": sum(n > 1 for n in seen.taken.values()),
        "sent but not taken": sum(s == "sent" and seen.taken[m] == 0 for m, s in states.items()),
        "failed but taken": sum(s == "failed" and seen.taken[m] > 0 for m, s in states.items()),
        "uncertain, and taken": sum(seen.taken[m] for m in unsure),
        "uncertain, and not taken": sum(seen.taken[m] == 0 for m in unsure),
    }
    artefacts = Path(__file__).resolve().parents[2] / "artefacts"
    artefacts.mkdir(exist_ok=True)
    (artefacts / f"kill-mail-{len(states)}.json").write_text(json.dumps(found, indent=1), "utf-8")
    return found


@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_storm_of_kills_in_short(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if where == "postgres" else None
    with ScriptedServer(Trouble(1, 0.002)) as server:
        at = place(tmp_path, server.port, 60, url)
        assert storm(at, server, 6, 2) == 6
        proven(at, server, 60)
        table(at, server, 6)


def test_ctrl_c_ends_the_mails_under_way_and_gives_the_others_back(tmp_path: Path) -> None:
    def slow(step: str, _to: str) -> str:
        time.sleep(0.2 if step == "dot" else 0.0)
        return "ok"

    with ScriptedServer(slow) as server:
        at = place(tmp_path, server.port, 60, timeout_s=10.0)
        sending = at.run("digest", "send")
        until = time.monotonic() + 60
        while server.seen.taken.total() < 2 and time.monotonic() < until:
            time.sleep(0.02)
        sending.send_signal(signal.SIGINT)
        sending.communicate(timeout=60)
        assert sending.returncode not in (0, -signal.SIGKILL)
        found = Counter(at.states().values())
        assert set(found) == {"sent", "queued"} and found["sent"] == server.seen.taken.total() < 60
        at.run("digest", "send").communicate(timeout=60)
        assert set(at.states().values()) == {"sent"}
        assert set(server.seen.taken.values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("connections", [2, 24])
def test_a_storm_of_kills(connections: int, tmp_path: Path) -> None:
    with ScriptedServer(Trouble(3, 0.002)) as server:
        at = place(tmp_path, server.port, 500, connections=connections, per_domain=connections)
        assert storm(at, server, 50, 4) == 50
        proven(at, server, 500)
        print("\n".join(f"{n:6}  {what}" for what, n in table(at, server, 50).items()))
