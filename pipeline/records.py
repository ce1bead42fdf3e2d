"""The frozen values that modules hand to each other. Named for their stage of life; no behaviour beyond arithmetic.

Times are aware UTC datetimes; seconds are floats from the start of the audio as decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# --- feed ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TranscriptLink:
    """One `podcast:transcript` of an episode."""

    url: str
    type: str | None = None
    language: str | None = None
    rel: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """One `podcast:person`."""

    name: str
    role: str | None = None
    href: str | None = None
    group: str | None = None
    img: str | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter: start in seconds and title."""

    start: float
    title: str
    url: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class Soundbite:
    """One `podcast:soundbite`: start and duration in seconds."""

    start: float
    duration_s: float
    title: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedEpisode:
    """An audio episode as its feed describes it. Unknown is None."""

    guid: str | None
    title: str | None
    published: datetime | None
    duration_s: float | None
    enclosure_url: str
    enclosure_type: str | None
    enclosure_length: int | None
    link: str | None = None
    description: str | None = None
    image_url: str | None = None
    season: int | None = None
    number: int | None = None
    episode_type: str | None = None
    explicit: bool | None = None
    chapters_url: str | None = None
    transcripts: tuple[TranscriptLink, ...] = ()
    persons: tuple[Person, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    soundbites: tuple[Soundbite, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed document; `episodes` are the audio episodes in document order."""

    title: str | None
    language: str | None = None
    ttl_minutes: int | None = None
    new_feed_url: str | None = None
    next_page_url: str | None = None
    podcast_guid: str | None = None
    link: str | None = None
    description: str | None = None
    image_url: str | None = None
    episodes: tuple[ParsedEpisode, ...] = ()
    persons: tuple[Person, ...] = ()  # of the show; they stand for an episode that names none of its own


@dataclass(frozen=True, slots=True)
class FeedForUpdate:
    """What a poll has to know of a stored feed."""

    id: int
    url: str
    etag: str | None = None
    last_modified: str | None = None
    body_sha256: str | None = None
    last_full_at: datetime | None = None
    """When a body was last fetched without conditions (200)."""
    last_ok_at: datetime | None = None
    error_count: int = 0
    weekly_count: float | None = None
    """Episodes a week of this feed's recent past, for its poll interval."""
    ttl_minutes: int | None = None
    moved_url: str | None = None  # the target of permanent redirects seen since `moved_since`
    moved_since: datetime | None = None
    credentials: str | None = None  # sealed; `feed.private` opens them
    title: str | None = None
    new_feed_url: str | None = None
    """Where its document said, when it was last read, that it lives now."""
    bad_sha256: str | None = None
    """Version and hash of the document that ended its parser."""


# --- transcript ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a transcript. `number` counts from 0; `segments` are the first and last source segment."""

    number: int
    start: float
    end: float
    text: str
    speaker: str | None = None
    mark: str | None = None
    """None for ordinary talk; `sponsor`, `intro`, `outro` or `housekeeping` for what is never quoted."""
    segments: tuple[int, int] | None = None
    reason: str | None = None
    """Why it is marked."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The sentences of one episode and where they come from."""

    language: str | None
    duration_s: float
    sentences: tuple[Sentence, ...]
    source: str
    """`publisher` or `whisper`."""
    model: str | None = None
    audio_sha256: str | None = None
    missing_speech_s: float = 0.0
    redone_s: float = 0.0
    quality: dict[str, Any] = field(default_factory=dict)
    confidence: float | None = None
    """Mean probability of the recognised words, 0..1; None where nothing was recognised."""
    poor: str | None = None
    """Why it is too poor to quote from; None when it is not."""


# --- insight ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """A window of sentences `first..last` (inclusive sentence numbers) and its ranker score (higher is better)."""

    first: int
    last: int
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Which writer wrote an insight, exactly."""

    writer: str
    """`selecting` or `moe`."""
    model: str | None = None
    revision: str | None = None
    quantisation: str | None = None
    prompt_version: str | None = None


@dataclass(frozen=True, slots=True)
class InsightDraft:
    """An insight with its proof, before it is stored. `evidence` are the numbers of the sentences that prove it."""

    title: str
    text: str
    quote: str
    """The verbatim evidence sentences, joined by a space (` … ` between sentences that are not neighbours)."""
    evidence: tuple[int, ...]
    first: int
    last: int
    start_s: float
    end_s: float
    speaker: str | None
    score: float
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that was not kept, and why; counted for the operator."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a writer makes of one transcript."""

    origin: Origin
    passages: tuple[Passage, ...]
    insights: tuple[InsightDraft, ...]
    """Best first."""
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class EpisodeContext:
    """What a writer may know of an episode besides its transcript."""

    show: str | None = None
    title: str | None = None
    description: str | None = None
    persons: tuple[Person, ...] = ()
    published: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredInsight:
    """An insight as the database holds it, with what a digest shows of its episode and show."""

    id: int
    episode_id: int
    feed_id: int
    title: str
    text: str
    quote: str
    first: int
    last: int
    start_s: float
    end_s: float
    speaker: str | None
    score: float
    writer: str
    model: str | None
    show: str
    episode: str
    episode_url: str | None
    published: datetime
    transcript_source: str
    backfill: bool = False
    topics: tuple[str, ...] = ()


# --- digest and mail -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A person who gets the digest."""

    id: int
    email: str
    time_zone: str
    hour: int
    minute: int
    count: int  # insights that a digest carries; 5 unless changed
    state: str
    nonce: str
    created_at: datetime
    next_digest_at: datetime | None = None
    last_digest_date: str | None = None
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)  # ISO weekdays that have a digest; 1 is Monday
    wanted_topics: tuple[str, ...] = ()
    muted_topics: tuple[str, ...] = ()
    wanted_shows: tuple[int, ...] = ()
    """Ids of feeds. Wanted ones come first among their like; muted ones never come."""
    muted_shows: tuple[int, ...] = ()
    paused_until: datetime | None = None
    """With the state `paused`: when it ends by itself; None is when the person says so."""
    confirmed_at: datetime | None = None
    consent: dict[str, Any] = field(default_factory=dict)
    """How and when the address came, and how it was confirmed."""
    by_mail: bool = True  # without, digests go to the subscriber's channels alone


@dataclass(frozen=True, slots=True)
class DigestItem:
    """One of a digest's insights, at `position` 1..n."""

    position: int
    insight: StoredInsight
    kind: str = "new"
    """`new`, or `update` when a model judged it to change an insight this subscriber has had."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DigestIssue:
    """A frozen digest: what one subscriber gets for one local day."""

    local_date: str
    """ISO date in the subscriber's time zone."""
    items: tuple[DigestItem, ...]
    wanted: int
    considered: int
    """Insights that were candidates before caps and novelty."""
    episodes: int
    """Episodes those candidates came from."""
    thin_reason: str | None = None
    """Said in the mail when there are fewer than `wanted`."""
    note: str | None = None
    """A further line for the reader, such as which writer stood in for which."""
