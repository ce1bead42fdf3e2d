"""Which transcript an episode gets: documents from a real server, a recogniser that hears the demo's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.clock import FixedClock
from pipeline.errors import FetchError, TransientError
from pipeline.records import Person, Transcript, TranscriptLink
from pipeline.resources import resource
from pipeline.settings import load
from pipeline.stages import Workshop, extract, transcribe
from pipeline.store import episodes, insights, transcripts
from pipeline.store.database import open_database
from pipeline.transcript import publisher
from pipeline.transcript.base import Progress, Recognition, Segment, Word
from pipeline.transcript.export import export
from pipeline.transcript.segment import sentences_from_segments, sentences_from_words
from tests.conftest import NOW
from tests.fakes.http_server import Site, send, serve
from tests.fakes.rows import add_episode

NAME, SECONDS = "slow-software-02", 156.5
TRUE = publisher.read((resource("samples") / f"{NAME}.vtt").read_bytes(), type="text/vtt")
READ = (
    "This episode is brought to you by Marrowfield, the only ladder that folds into a briefcase. Go to marrowfield "
    "dot example and get two rungs for free with your first order today."
)


def spoken(segments: Sequence[Segment]) -> list[Word]:
    return [
        Word(s.start + n * step, s.start + (n + 0.9) * step, " " + part, 0.9)
        for s in segments
        for step in [(s.end - s.start) / len(s.text.split())]
        for n, part in enumerate(s.text.split())
    ]


class Hearing:
    """A transcriber that hears given words, whatever the file holds."""

    def __init__(self, words: Sequence[Word], poor: str | None = None) -> None:
        self.words, self.poor = tuple(words), poor
        self.hints: str | None = None
        self.asked: list[str] = []

    def recognise(
        self, audio: Path, *, language: str | None = None, hints: str | None = None, progress: Progress | None = None
    ) -> Recognition:
        self.asked.append("whole")
        self.hints = hints
        sentences = sentences_from_words(self.words)
        t = Transcript("en", SECONDS, sentences, "whisper", "heard", quality={"speech_s": 140.0}, poor=self.poor)
        return Recognition(t, self.words)

    def transcribe(self, audio: Path, *, language: str | None = None, progress: Progress | None = None) -> Transcript:
        return self.recognise(audio).transcript

    def hear(self, audio: Path, spans: Sequence[tuple[float, float]], language: str | None = None) -> list[list[Word]]:
        self.asked.append("samples")
        return [[w for w in self.words if a <= w.start and w.end <= b] for a, b in spans]

    def close(self) -> None:
        self.asked.append("closed")


class Desk:
    """A workshop whose one episode waits to be transcribed."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        (folder / "t.toml").write_text("")
        settings = load(
            environ={
                "PODSIFT_CONFIG": str(folder / "t.toml"),
                "PODSIFT_DATA_DIR": str(folder / "data"),
                "PODSIFT_SECRET_KEY": "k1:" + "x" * 40,
                "PODSIFT_FEED_ALLOW_HOSTS": "127.0.0.1",
            }
        )
        self.shop = Workshop(settings, open_database(settings), FixedClock(NOW))
        self.audio = folder / "audio.mp3"
        self.audio.write_bytes(b"sound")
        self.id = self.episode(1)

    def episode(self, n: int) -> int:
        with self.shop.db.begin() as conn:
            made = add_episode(conn, NOW, n=n, stage="transcribe")
            values = {"audio_path": str(self.audio), "audio_s": SECONDS, "audio_sha256": "ab" * 32, "attempts": 1}
            episodes.note(conn, made, values)
        return made

    def offers(self, *documents: tuple[str, str], persons: Sequence[Person] = ()) -> None:
        """Documents as (type, text) on the site, named by the episode."""
        links = []
        for n, (kind, text) in enumerate(documents):
            self.site.answers[f"/{n}"] = send(text.encode(), Content_Type=kind)
            links.append(asdict(TranscriptLink(f"{self.site.base}/{n}", kind)))
        with self.shop.db.begin() as conn:
            values: dict[str, Any] = {"transcripts": links, "persons": [asdict(p) for p in persons]}
            episodes.note(conn, self.id, values)

    def transcribe(self, ear: Hearing) -> Transcript:
        self.shop.__dict__["transcriber"] = ear
        done = transcribe(self.shop, self.id)
        with self.shop.db.begin() as conn:
            done.write(conn)
            return transcripts.load(conn, self.id)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with serve() as site:
        made = Desk(site, tmp_path)
        yield made
        made.shop.close()
        made.shop.db.close()


def vtt(segments: Sequence[Segment]) -> str:
    return export(Transcript("en", SECONDS, sentences_from_segments(segments), "publisher"), "vtt")


def moved(segments: Sequence[Segment], by: float, after: float = 0.0) -> list[Segment]:
    return [replace(s, start=s.start + by, end=s.end + by) if s.start >= after else s for s in segments]


def test_one_in_time_is_used_after_three_samples(desk: Desk) -> None:
    desk.offers(("text/vtt", vtt(TRUE)))
    ear = Hearing(spoken(TRUE))
    found = desk.transcribe(ear)
    assert (found.source, ear.asked) == ("publisher", ["samples"])
    assert found.quality["times"] == "checked on 3 samples"
    assert found.sentences[3].start == pytest.approx(6.97, abs=0.01)


def test_a_constant_shift_is_corrected(desk: Desk) -> None:
    desk.offers(("text/vtt", vtt([s for s in moved(TRUE, -9.0) if s.start >= 0])))
    found = desk.transcribe(Hearing(spoken(TRUE)))
    assert found.quality["times"].startswith("shifted by +9.0 s")
    assert all(abs(s.start - min((t.start for t in TRUE), key=lambda at: abs(at - s.start))) < 1.5
               for s in found.sentences)  # fmt: skip


def test_with_something_inserted_the_text_stays_and_the_times_are_heard(desk: Desk) -> None:
    desk.offers(("text/vtt", vtt(TRUE)))
    at = next(s.start for s in TRUE if s.start > 60.0)
    ad = [Word(at + n * 0.4, at + n * 0.4 + 0.3, " " + w, 0.9) for n, w in enumerate(READ.split())]
    ear = Hearing(sorted([*spoken(moved(TRUE, 18.0, after=at)), *ad], key=lambda w: w.start))
    found = desk.transcribe(ear)
    assert (found.source, found.model, ear.asked) == ("publisher", "heard", ["samples", "whole"])
    assert found.quality["times"].startswith("as heard, 9") or found.quality["times"].startswith("as heard, 100%")
    assert found.quality["inserted_s"] > 10
    last = found.sentences[-1]
    true = sentences_from_segments(TRUE)[-1]
    assert (last.text, last.speaker) == (true.text, true.speaker)
    assert last.start == pytest.approx(true.start + 18.0, abs=0.5)
    assert {s.mark for s in found.sentences if at <= s.start < at + 12} == {"sponsor"}
    assert not found.sentences[len(found.sentences) // 2].mark or found.sentences[0].mark != "sponsor"


def test_a_text_without_times_gets_those_heard_and_names_of_the_feed(desk: Desk) -> None:
    text = "\n\n".join(f"{(s.speaker or '').split()[0]}: {s.text}" for s in TRUE)
    desk.offers(("text/plain", text), persons=(Person("Maya Lindgren", "host"), Person("Owen Tate", "guest")))
    ear = Hearing(spoken(TRUE))
    found = desk.transcribe(ear)
    assert ear.hints == "Show 1, Maya Lindgren, Owen Tate, Episode 1"
    assert found.source == "publisher"
    assert {s.speaker for s in found.sentences} == {"Maya Lindgren", "Owen Tate"}
    assert "carries no times" in found.quality["times"]


def test_what_is_refused_is_said_and_whisper_is_heard(desk: Desk) -> None:
    other = publisher.read((resource("samples") / "long-table-02.vtt").read_bytes(), type="text/vtt")
    desk.offers(
        ("application/json", "{}"),
        ("text/vtt", vtt(other)),
        ("application/x-subrip", "1\n00:00:01,000 --> 00:00:02,000\nHello.\n"),
        ("text/plain", "\n".join(s.text for s in other)),
    )
    found = desk.transcribe(Hearing(spoken(TRUE)))
    assert found.source == "whisper"
    reasons = found.quality["publisher_refused"]
    assert [any(part in r for r in reasons) for part in ("no list of segments", "are not in it", "too little", "heard")]
    assert len(reasons) == 4 and all(r.startswith(desk.site.base) for r in reasons)


def test_another_episodes_transcript_is_refused(desk: Desk) -> None:
    desk.offers(("text/vtt", vtt(TRUE)))
    desk.transcribe(Hearing(spoken(TRUE)))
    first, desk.id = desk.id, desk.episode(2)
    desk.audio.write_bytes(b"sound")
    desk.offers(("text/vtt", vtt(TRUE)))
    found = desk.transcribe(Hearing(spoken(moved(TRUE, 1.0))))
    assert found.source == "whisper"
    assert f"stands in episode {first}" in found.quality["publisher_refused"][0]


def test_a_publishers_server_that_is_away_is_asked_again_and_then_done_without(desk: Desk) -> None:
    desk.offers(("text/vtt", vtt(TRUE)))
    desk.site.answers["/0"] = send(status=503)
    ear = Hearing(spoken(TRUE))
    with pytest.raises(FetchError):
        desk.transcribe(ear)
    with desk.shop.db.begin() as conn:
        episodes.note(conn, desk.id, {"attempts": 2})
    found = desk.transcribe(ear)
    assert found.source == "whisper" and "503" in found.quality["publisher_refused"][0]


def test_a_recogniser_that_dies_is_no_reason_to_refuse(desk: Desk) -> None:
    class Dying(Hearing):
        def hear(self, *_: object, **__: object) -> list[list[Word]]:
            raise TransientError("The Whisper process died")

    desk.offers(("text/vtt", vtt(TRUE)))
    with pytest.raises(TransientError, match="died"):
        desk.transcribe(Dying(()))


def test_a_poor_transcript_gives_no_insights_and_says_why(desk: Desk) -> None:
    reason = "45% of the speech could not be recognised"
    found = desk.transcribe(Hearing(spoken(TRUE), poor=reason))
    assert found.poor == reason
    with desk.shop.db.begin() as conn:
        episodes.note(conn, desk.id, {"stage": "extract"})
    done = extract(desk.shop, desk.id)
    with desk.shop.db.begin() as conn:
        done.write(conn)
        assert insights.of_episode(conn, desk.id) == []
        assert transcripts.load(conn, desk.id).poor == reason
