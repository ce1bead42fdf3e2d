"""An episode's audio from its published address to its transcript, through a real server and the engine's own step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.clock import FixedClock
from pipeline.engine.step import Done, step
from pipeline.records import Sentence, Transcript
from pipeline.resources import resource
from pipeline.settings import load
from pipeline.stages import Workshop
from pipeline.store import episodes, transcripts
from pipeline.store.database import open_database
from pipeline.transcript.base import Recognition
from tests.conftest import NOW, environ_of
from tests.fakes.http_server import Site, send, serve
from tests.fakes.rows import add_episode

SAID = "This is what was said in this episode, in one long and quiet sentence."


class Hearing:
    """A recogniser that takes no minute; how it hears is tried elsewhere."""

    def recognise(self, audio: Path, *, language: str | None = None, progress: Any = None, **_: Any) -> Recognition:
        assert audio.is_file()
        return Recognition(Transcript("en", 100.0, (Sentence(0, 0.0, 9.0, SAID),), "whisper"), ())

    def transcribe(self, audio: Path, *, language: str | None = None, progress: Any = None, **_: Any) -> Transcript:
        return self.recognise(audio).transcript

    def close(self) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, site: Site) -> Iterator[Workshop]:
    environ = environ_of(tmp_path) | {"PODSIFT_FEED_ALLOW_HOSTS": site.host, "PODSIFT_AUDIO_MIN_FREE_BYTES": "0"}
    settings = load(environ=environ)
    made = Workshop(settings, open_database(settings), FixedClock(NOW))
    made.__dict__["transcriber"] = Hearing()
    yield made
    made.db.close()


def add(shop: Workshop, site: Site) -> int:
    with shop.db.begin() as conn:
        made = add_episode(conn, NOW)
        episodes.note(conn, made, {"enclosure_url": site.base + "/1.mp3"})
    return made


def audio(with_ads: bytes = b"") -> bytes:
    """A sample, whose end differs from request to request as inserted ads do."""
    return (resource("samples") / "slow-software-02.mp3").read_bytes() + with_ads


def run(shop: Workshop, name: str, episode_id: int) -> str:
    (stage,) = (s for s in shop.stages() if s.name == name)
    return step(shop.db, shop.clock, stage, episode_id)


def test_it_goes_when_its_transcript_is_committed_and_not_before(
    shop: Workshop, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answers["/1.mp3"] = send(audio(), Content_Type="text/plain")  # what a header says decides nothing
    i = add(shop, site)
    assert run(shop, "download", i) == "done"
    path = Path(str(shop.row(i)["audio_path"]))
    assert path.is_file() and shop.row(i)["audio_s"] == pytest.approx(156.5, abs=1)

    def breaks(*_: Any) -> None:
        assert path.is_file()
        raise RuntimeError("the machine dies in the middle of the commit")

    with monkeypatch.context() as patch:
        patch.setattr(transcripts, "save", breaks)
        assert run(shop, "transcribe", i) == "retry"
    assert path.is_file() and shop.row(i)["stage"] == "transcribe"
    assert run(shop, "transcribe", i) == "done"
    assert not path.exists() and shop.row(i)["audio_path"] is None
    assert list(shop.audio_dir.iterdir()) == []


def test_what_a_kill_between_commit_and_deletion_leaves_is_swept(shop: Workshop, site: Site) -> None:
    site.answers["/1.mp3"] = send(audio())
    i = add(shop, site)
    run(shop, "download", i)
    path = Path(str(shop.row(i)["audio_path"]))
    (stage,) = (s for s in shop.stages() if s.name == "transcribe")

    def killed(episode_id: int) -> Done:
        return replace(stage.run(episode_id), after=None)

    assert step(shop.db, shop.clock, replace(stage, run=killed), i) == "done"
    assert path.is_file()
    assert shop.sweep() == 1 and not path.exists()


def test_a_transcript_is_bound_to_the_bytes_it_was_heard_from(shop: Workshop, site: Site) -> None:
    """Another request brings other ads: other bytes, the same episode."""
    site.answers["/1.mp3"] = send(audio(b"\0" * 1000))
    i = add(shop, site)
    run(shop, "download", i)
    first = shop.row(i)
    assert first["audio_sha256"] == hashlib.sha256(audio(b"\0" * 1000)).hexdigest()
    Path(str(first["audio_path"])).unlink()  # another machine had it, or somebody cleaned up
    site.answers["/1.mp3"] = send(audio(b"\0" * 2000))
    assert run(shop, "transcribe", i) == "done"
    with shop.db.begin() as conn:
        kept = transcripts.load(conn, i)
        assert len(episodes.listed(conn)) == 1
    assert kept.audio_sha256 == hashlib.sha256(audio(b"\0" * 2000)).hexdigest() != first["audio_sha256"]
    assert shop.row(i)["audio_sha256"] == kept.audio_sha256


def test_below_the_floor_the_queue_waits_and_says_so(shop: Workshop, site: Site) -> None:
    site.answers["/1.mp3"] = send(audio())
    i = add(shop, site)
    limits = shop.settings.audio.model_copy(update={"min_free_bytes": 10**18})
    shop.settings = shop.settings.model_copy(update={"audio": limits})
    for _ in range(8):  # more often than an episode may fail
        assert run(shop, "download", i) == "waits"
    row = shop.row(i)
    assert row["stage"] == "download" and "wait for disk space" in row["error"] and site.asked == []


@pytest.mark.parametrize("other", [b"short", audio()[:-1] + b"?"])
def test_other_bytes_in_its_place_are_not_heard(shop: Workshop, site: Site, other: bytes) -> None:
    """What an earlier try left on this machine, under the name that another machine has noted since."""
    site.answers["/1.mp3"] = send(audio())
    i = add(shop, site)
    run(shop, "download", i)
    Path(str(shop.row(i)["audio_path"])).write_bytes(other)
    assert run(shop, "transcribe", i) == "done"
    with shop.db.begin() as conn:
        assert transcripts.load(conn, i).audio_sha256 == hashlib.sha256(audio()).hexdigest()
    assert [path for path, _ in site.asked] == ["/1.mp3"] * 2
