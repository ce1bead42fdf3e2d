"""The demo's whole way in processes of its own: what it sends, that it sends it once, also after a kill -9."""

from __future__ import annotations

import email
import email.message
import email.policy
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.resources import resource

pytestmark = [pytest.mark.whisper, pytest.mark.xdist_group("whisper")]
COMMAND = [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()", "demo", "--data"]
EXPECTED = {e["title"]: e for e in json.loads((resource("samples") / "expectations.json").read_text())["episodes"]}


@dataclass(frozen=True)
class Found:
    title: str
    quote: str
    episode: str
    start_s: float
    source: str
    sentences: list[str]


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, str(folder)], capture_output=True, text=True, timeout=400, check=False)


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{folder / 'podsift.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def digest(folder: Path) -> list[Found]:
    found = []
    for title, quote, episode, episode_id, start, source in rows(
        folder,
        "SELECT i.title, i.quote, e.title, e.id, i.start_s, t.source FROM digest_item d"
        " JOIN insight i ON i.id = d.insight_id JOIN episode e ON e.id = i.episode_id"
        " JOIN transcript t ON t.episode_id = e.id ORDER BY d.position",
    ):
        said = rows(
            folder,
            "SELECT s.text FROM sentence s JOIN transcript t ON t.id = s.transcript_id"
            f" WHERE t.episode_id = {episode_id} ORDER BY s.number",
        )
        found.append(Found(title, quote, episode, start, source, [s[0] for s in said]))
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("demo")
    done = demo(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder, done.stdout


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_five_insights_that_stand_verbatim_in_their_transcripts(finished: tuple[Path, str]) -> None:
    found = digest(finished[0])
    assert len(found) == 5
    assert len({" ".join(words(f.quote)) for f in found}) == 5
    for f in found:
        assert f.quote in " ".join(f.sentences)
        assert f.title in finished[1]


def test_nothing_of_the_sponsor_is_quoted(finished: tuple[Path, str]) -> None:
    for f in digest(finished[0]):
        for banned in ("lanternfish", "sponsor", "free at"):
            assert banned not in f.quote.lower()


def test_each_quote_begins_at_the_second_that_is_given(finished: tuple[Path, str]) -> None:
    for f in digest(finished[0]):
        segments = EXPECTED[f.episode]["segments"]
        first = next(s for s in f.sentences if f.quote.startswith(s))
        opening = words(first)
        # Whisper writes figures where the reference has number words, so a place is where most of the words agree.
        segment = max(segments, key=lambda s: len(set(opening) & set(words(s["text"]))))
        shared = set(opening) & set(words(segment["text"]))
        assert len(shared) >= 0.6 * len(set(opening)), f"{first!r} is not in the reference text"
        begins = len(set(opening[:3]) & set(words(segment["text"])[:4])) >= 2
        if begins and f.source == "whisper":
            assert abs(f.start_s - segment["start"]) <= 1.0, (first, f.start_s, segment)
        else:
            assert segment["start"] - 0.01 <= f.start_s <= segment["end"], (first, f.start_s, segment)


def test_the_mail_is_whole_and_alone(finished: tuple[Path, str]) -> None:
    (path,) = (finished[0] / "mail").glob("*.eml")
    m = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(m, email.message.EmailMessage)
    html, text = m.get_body(("html",)), m.get_body(("plain",))
    assert html is not None and text is not None
    assert len(html.get_content().encode()) < 60_000
    for f in digest(finished[0]):
        assert " ".join(f.quote.split()) in " ".join(text.get_content().split())
        assert f.title.replace("'", "&#39;") in html.get_content() or f.title in html.get_content()


def test_two_have_publisher_transcripts_and_no_audio_is_left(finished: tuple[Path, str]) -> None:
    sources = rows(finished[0], "SELECT source, count(*) FROM transcript GROUP BY source ORDER BY source")
    assert sources == [("publisher", 2), ("whisper", 2)]
    assert list((finished[0] / "audio").iterdir()) == []


def test_a_second_run_finds_nothing_new_and_sends_nothing(finished: tuple[Path, str]) -> None:
    again = demo(finished[0])
    assert again.returncode == 0
    assert "Nothing new" in again.stdout
    assert len(list((finished[0] / "mail").glob("*.eml"))) == 1


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("stage", ["download", "transcribe", "extract"])
def test_kill_9_in_a_stage_changes_nothing(stage: str, tmp_path: Path, finished: tuple[Path, str]) -> None:
    running = subprocess.Popen([*COMMAND, str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    in_flight = f"SELECT count(*) FROM episode WHERE stage = '{stage}' AND attempts > 0"
    # A transcription is hit in its middle, with its child at work; the short stages as soon as they are seen.
    wants_child = stage == "transcribe"
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and running.poll() is None:
            try:
                hit = rows(tmp_path, in_flight)[0][0] and (not wants_child or children(running.pid))
            except sqlite3.OperationalError:  # not created yet
                hit = 0
            if hit:
                break
            time.sleep(0.002)
        assert running.poll() is None, "the demo ended before it could be killed"
        if wants_child:
            time.sleep(3)
        orphans = children(running.pid)
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    assert rows(tmp_path, in_flight)[0][0] or not wants_child
    assert not list((tmp_path / "mail").glob("*.eml")) if (tmp_path / "mail").exists() else True
    _, alive = psutil.wait_procs(orphans, timeout=15)
    assert not alive, "a child outlived its parent"
    again = demo(tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [(f.title, f.quote) for f in digest(tmp_path)] == [(f.title, f.quote) for f in digest(finished[0])]
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1
    assert rows(tmp_path, "SELECT state FROM outbox") == [("sent",)]


# A process that is killed as soon as it calls one of its functions.
DYING = """
import os, signal
import {parent}
def die(*_a, **_k): os.kill(os.getpid(), signal.SIGKILL)
{module}.{name} = die
from pipeline.cli.main import main; main()
"""


def test_kill_9_while_relating_and_while_a_digest_is_frozen_changes_nothing(
    tmp_path: Path, finished: tuple[Path, str]
) -> None:
    for module, name, left in (
        ("pipeline.stages", "relate", "SELECT count(*) FROM episode WHERE stage = 'relate' AND attempts = 1"),
        # The digest's rows are written, and its mail is not.
        ("pipeline.digest.compose.message", "build", "SELECT count(*) = 0 FROM digest"),
    ):
        code = DYING.format(parent=module.removesuffix(".message"), module=module, name=name)
        died = subprocess.run(
            [sys.executable, "-P", "-c", code, *COMMAND[4:], str(tmp_path)],
            capture_output=True,
            timeout=400,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert rows(tmp_path, left)[0][0] == 1, name
    again = demo(tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [(f.title, f.quote) for f in digest(tmp_path)] == [(f.title, f.quote) for f in digest(finished[0])]
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1
    assert rows(tmp_path, "SELECT state FROM outbox") == [("sent",)]
