"""Which transcript an episode gets: the publisher's, its text at the times that Whisper heard, or Whisper's.

The publisher's counts more, as who made the show knows its names and who speaks. Its times are checked on three samples
of the audio; text whose times are wrong or missing waits until Whisper has heard the whole file, and is laid over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import transport
from pipeline.errors import FetchError, PodsiftError, RefusedError, TransientError
from pipeline.feed import private
from pipeline.records import Transcript
from pipeline.store import episodes, transcripts
from pipeline.transcript import publisher, speakers
from pipeline.transcript.align import aligned
from pipeline.transcript.base import Recognition, Segment, UntimedError
from pipeline.transcript.hints import hints
from pipeline.transcript.language import contradicts
from pipeline.transcript.make import check_against, from_publisher

if TYPE_CHECKING:
    from pipeline.stages import Workshop

MAX_BYTES = 10_000_000
PATIENCE = 2
"""At this attempt a publisher's server that is still away is done without."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What the publisher's documents gave: a transcript, or texts without good times; and why others did not."""

    made: Transcript | None
    texts: tuple[tuple[str, UntimedError], ...]
    refused: tuple[str, ...]


def transcript_of(shop: Workshop, row: dict[str, Any]) -> Transcript:
    """The transcript of an episode's audio, unmarked. Raises what the transcriber raises."""
    found = offered(shop, row)
    refused = list(found.refused)
    made = found.made
    if made is None:
        heard = shop.transcriber.recognise(
            Path(row["audio_path"]),
            language=row["feed_language"],
            hints=hints(row["show"], row["title"], episodes.persons(row), episodes.chapters(row)),
            progress=lambda done: shop.tell("transcribe", row["id"], done / (row["audio_s"] or 1.0)),
        )
        made = heard.transcript
        for address, untimed in found.texts:
            try:
                made = laid_over(untimed, heard)
                break
            except RefusedError as e:
                refused.append(f"{address}: {e}")
    if refused:
        made = replace(made, quality=made.quality | {"publisher_refused": refused})
    named = speakers.named([s.speaker for s in made.sentences], episodes.persons(row))
    sentences = tuple(replace(s, speaker=name) for s, name in zip(made.sentences, named, strict=True))
    return replace(made, sentences=sentences)


def laid_over(text: UntimedError, heard: Recognition) -> Transcript:
    """The publisher's text at the times of the words heard. Raises RefusedError when it is another text."""
    found = aligned(text.segments, heard.words)
    times = f"as heard, {found.placed:.0%} of its words; {text.message.partition(' transcript ')[2]}"
    return replace(
        heard.transcript,
        sentences=found.sentences,
        source="publisher",
        quality=heard.transcript.quality | {"times": times, "inserted_s": found.inserted_s},
    )


def offered(shop: Workshop, row: dict[str, Any]) -> Offered:
    """The first of the publisher's transcripts that passes its checks; else those that are good for their text."""
    refused: list[str] = []
    texts: list[tuple[str, UntimedError]] = []
    opened = shop.credentials(row)
    for link in publisher.choose(episodes.links(row), row["feed_language"]):
        address = private.masked(link.url) if opened else transport.redact(link.url)
        language = link.language or row["feed_language"]
        try:
            with transport.client(shop.settings.feed) as client, private.hiding(link.url if opened else None):
                full = private.with_auth(link.url, opened)
                body = transport.get(client, full, max_bytes=MAX_BYTES, timeout_s=60).body
            made = from_publisher(
                body,
                duration_s=row["audio_s"],
                type=link.type,
                url=link.url,
                language=language,
                check=partial(checked, shop, row),
            )
        except FetchError as e:
            if row["attempts"] < PATIENCE:
                raise
            refused.append(f"{address}: {e}")
        except TransientError:
            raise
        except UntimedError as e:
            other = contradicts(" ".join(s.text for s in e.segments), language)
            if other is None and e.segments:
                texts.append((address, e))
            else:
                refused.append(f"{address}: {e}" + (f"; {other}" if other else ""))
        except PodsiftError as e:
            refused.append(f"{address}: {e}")
        else:
            return Offered(made, (), tuple(refused))
    return Offered(None, tuple(texts), tuple(refused))


def checked(shop: Workshop, row: dict[str, Any], segments: Sequence[Segment]) -> tuple[tuple[Segment, ...], str]:
    """What a publisher's document has to stand up to: it is this episode's own, and in time with its audio."""
    with shop.db.begin() as conn:
        publisher.check_copy(segments, transcripts.texts_of_show(conn, row["id"]))
    check = check_against(Path(row["audio_path"]), row["audio_s"], shop.transcriber, row["feed_language"])
    return check(segments)
