"""A browser, and a site with something on every page: mails, shows with audio that plays, people, trouble."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, update

from bench import chromium
from pipeline.channel.base import Place
from pipeline.channel.ways import sealed
from pipeline.clock import FixedClock
from pipeline.demo.samples import SampleServer
from pipeline.demo.sink import MailSink
from pipeline.digest.compose import build
from pipeline.email import tokens
from pipeline.email.delivery import send_due
from pipeline.insight.relate import text_key
from pipeline.records import Findings, InsightDraft, Origin, Sentence, Subscriber, Transcript
from pipeline.settings import Settings, load
from pipeline.store import blocks, channels, episodes, feeds, insights, outbox, outbox_moves, subscribers, transcripts
from pipeline.store.database import Database, open_database
from pipeline.store.tables import episode
from tests.conftest import NOW, environ_of
from tests.fakes.embedder import WordEmbedder
from tests.fakes.pages import pages
from tests.fakes.rows import add_subscriber, parsed_episode

ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts"
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")
TOKEN = "operator-token-of-a-test"

SHOWS = (
    (
        "The Slow Software Hour", "slow-software-01.mp3", "Queues and what they hide",
        [
            "Welcome back.", "Today we talk about waiting.",
            "Queues lie about lateness, so start the clock when the person asks and not when the work begins.",
            "Nobody believed that at first.", "Then we drew the curve, and it was the same each Monday.",
            "A team that measures from the request found that nine tenths of the time was spent waiting for a person.",
            "Thanks for listening.",
        ],
        (2, 5),
    ),
    (
        "The Long Table", "long-table-01.mp3", "Bread that is baked twice",
        [
            "Good evening.", "My grandmother baked every loaf twice.",
            "The second baking drives out the water, and that is why her bread kept for a month in summer.",
            "She waited for the crust and never for the clock.", "We tried it with forty loaves.",
            "Thirty-eight of the forty loaves were still good to eat after four weeks on an open shelf.",
        ],
        (2, 5),
    ),
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One browser for all: in one worker, and nowhere without a Chromium."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            if chromium.find() is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium here; Debian: apt-get install chromium"))


ADDRESSES = {
    "webhook": "https://hooks.example.org/\u2026",
    "chat": "ntfy://ntfy.sh/\u2026",
    "folder": "folder:/home/me/notes",
}
POSTS = (
    ("deferred", "the server answered 503"), ("uncertain", "nobody can know whether it arrived: the line was lost"),
    ("sent", "2026-11-20 Podsift.md"),
)  # fmt: skip


@dataclass
class World:
    """A site that runs, and what a test needs to look behind it."""

    address: str
    db: Database
    settings: Settings
    clock: FixedClock
    mails: MailSink
    who: Subscriber
    digest: int
    ids: list[int]
    uncertain: int

    def link(self, path: str, purpose: str, **extra: int | str) -> str:
        token = tokens.make(self.settings, purpose, self.who.id, self.who.nonce, now=NOW, **extra)
        return f"{self.address}/{path}/{token}"

    def again(self, email: str = "reader@example.org") -> Subscriber:
        with self.db.begin() as conn:
            return subscribers.find(conn, email)

    def send(self) -> None:
        """Send what waits, to the real mail server of this world."""
        send_due(self.db, self.settings, self.clock)

    def mail_to(self, address: str) -> str:
        """The newest mail's bytes, with soft line ends taken out."""
        texts = [p.read_text("utf-8", "replace") for p in self.mails.files() if p.suffix == ".eml"]
        found = [t for t in texts if f"To: {address}" in t]
        assert found, f"no mail to {address} among {len(texts)}"
        return found[-1].replace("=\n", "").replace("=\r\n", "").replace("=3D", "=")


def _show(conn: Connection, k: int, base: str) -> list[int]:
    title, audio, name, said, proofs = SHOWS[k]
    feed_id, _ = feeds.add(conn, f"https://example.org/{k}.xml", NOW)
    feeds.change(conn, feed_id, {"title": title, "link": "https://example.org/", "language": "en"})
    about = parsed_episode(k + 1, NOW, title=name, description="<p>An evening with <b>notes</b>.</p>")
    eid = episodes.add(conn, feed_id, f"guid-{k}", about, "done", None, NOW)
    conn.execute(update(episode).where(episode.c.id == eid).values(enclosure_url=f"{base}/{audio}"))
    sentences = tuple(Sentence(n, 8.0 * n, 8.0 * n + 7.5, t, "Ada" if n % 2 else "Ben") for n, t in enumerate(said))
    transcripts.save(conn, eid, Transcript("en", 110.0, sentences, "publisher"), NOW)
    drafts = tuple(
        InsightDraft(
            said[n].split(",")[0].split(" of the forty")[0], said[n], said[n], (n,), n, n, 8.0 * n, 8.0 * n + 7.5,
            sentences[n].speaker, 0.9 - 0.1 * n / 10, topics=("waiting", "craft")[: 1 + k],
        )
        for n in proofs
    )  # fmt: skip
    vectors = list(WordEmbedder().embed([d.text for d in drafts]).astype(np.float32))
    return insights.save(
        conn, eid, Findings(Origin("selecting"), (), drafts), [text_key(d.text) for d in drafts], vectors, NOW
    )


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = FixedClock(NOW)
    port = free_port()
    with SampleServer(tmp_path) as audio, MailSink(tmp_path) as mails:
        settings = load(
            environ=environ_of(tmp_path)
            | {
                "PODSIFT_SECRET_KEY": "k1:0123456789abcdef0123456789abcdef",
                "PODSIFT_WEB_OPERATOR_TOKEN": TOKEN,
                "PODSIFT_WEB_OPEN_SUBSCRIBE": "true",
                "PODSIFT_WEB_BASE_URL": f"http://127.0.0.1:{port}",
                "PODSIFT_SMTP_HOST": "127.0.0.1",
                "PODSIFT_SMTP_PORT": str(mails.port),
                "PODSIFT_SMTP_SECURITY": "none",
                "PODSIFT_SMTP_SENDER": "Podsift <digest@example.org>",
            }
        )
        db = open_database(settings)
        with db.begin() as conn:
            ids = [i for k in range(len(SHOWS)) for i in _show(conn, k, audio.base_url)]
            who = add_subscriber(conn, NOW)
            digest = build(conn, who, settings, lambda *_: None, NOW)
            assert digest is not None
            while blocks.fill(conn):
                pass
        send_due(db, settings, clock)
        with db.begin() as conn:
            other = add_subscriber(conn, NOW, "unsure@example.org", nonce="u" * 32)
            for kind, address in ADDRESSES.items():
                text = sealed(Place({"url": address, "path": "/nowhere", "secret": "whsec_AAAA"}, address), settings)
                channels.add(conn, other.id, kind, f"{kind}-1", text, address, NOW)
            assert build(conn, other, settings, lambda *_: None, NOW) is not None
            (mail,) = [m for m in outbox.listed(conn) if m["recipient"] == other.email]
            outbox.claim(conn, NOW, "dead")
            move = outbox_moves.Move(mail["id"], "dead", ("claimed",), "uncertain", {"reply": "the line was lost"})
            assert outbox_moves.apply(conn, [move], NOW) == [True]
            for state, why in POSTS:
                post = channels.take(conn, NOW)
                assert post is not None
                channels.settle(conn, post.id, state, why, NOW, next_at=NOW + timedelta(minutes=4))
            failed = episodes.add(conn, 1, "guid-bad", parsed_episode(9, NOW, title="Noise"), "download", None, NOW)
            conn.execute(update(episode).where(episode.c.id == failed).values(stage="failed", error="no audio in it"))
        with pages(settings, db, clock, port=port) as address:
            yield World(address, db, settings, clock, mails, who, digest, ids, mail["id"])
        db.close()


@pytest.fixture(scope="session")
def chrome() -> Iterator[chromium.Tab]:
    with chromium.browser() as tab:
        yield tab


@pytest.fixture
def tab(chrome: chromium.Tab, request: pytest.FixtureRequest) -> Iterator[chromium.Tab]:
    """A tab without cookies, light and wide. Its last look is kept in artefacts/."""
    if "world" in request.fixturenames:
        request.getfixturevalue("world")  # first, so that the tab leaves before the site is gone
    chrome.call("Network.clearBrowserCookies")
    chrome.scripts(allowed=True)
    chrome.look(1200)
    chrome.requests.clear()
    chrome.complaints.clear()
    yield chrome
    chrome.scripts(allowed=True)
    chrome.picture(ARTEFACTS / "browser" / (re.sub(r"\W+", "-", request.node.name).strip("-") + ".png"))
    chrome.goto("about:blank")  # a player may still be loading
    assert chrome.complaints == [], "the browser complained"


def violations(tab: chromium.Tab) -> list[str]:
    """What axe-core holds against the page as it is now, each with its first place."""
    if not tab.run("typeof axe === 'object'"):
        tab.run(AXE + "; true")
    found = tab.run(
        "axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.map("
        "v => v.id + ': ' + v.help + ' | ' + v.nodes[0].html.slice(0, 150) + ' | ' + "
        "(v.nodes[0].failureSummary || '').slice(0, 250))))"
    )
    return list(json.loads(found))
