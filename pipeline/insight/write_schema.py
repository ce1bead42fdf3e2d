"""What a model is asked to answer, and the hard look at what it did answer. Pure.

Nothing of an answer is kept but words and sentence numbers: the quote, its times and its speaker come from the
transcript. An entry that is wrong is dropped by itself, with its reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.insight.prove import quote_of
from pipeline.insight.title import MAX_WORDS as TITLE_WORDS
from pipeline.insight.write_parts import MOST, Part
from pipeline.records import Dropped, InsightDraft, Transcript

LEAST_WORDS, MOST_WORDS = 40, 60
EVIDENCE = 8
"""Sentences at most that prove one insight."""
SPREAD = 30
"""Sentences farther apart than this do not make one thought."""
QUOTE_WORDS = 180
TOPICS = 3
TEXT_CHARS = 1_500

_TITLE = {"type": "string", "minLength": 8, "maxLength": 140}
_TEXT = {"type": "string", "minLength": 60, "maxLength": 700}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "insights": {
            "type": "array",
            "maxItems": MOST,
            "items": {
                "type": "object",
                "properties": {
                    "title": _TITLE,
                    "insight": _TEXT,
                    "evidence": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": EVIDENCE,
                        "items": {"type": "integer", "minimum": 0},
                    },
                    "topics": {"type": "array", "maxItems": TOPICS, "items": {"type": "string", "maxLength": 40}},
                    "speaker": {"type": "string", "maxLength": 80},
                },
                "required": ["title", "insight", "evidence", "topics", "speaker"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["insights"],
    "additionalProperties": False,
}
"""The same for each part, so that the server compiles one grammar."""
REWRITE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"title": _TITLE, "insight": _TEXT},
    "required": ["title", "insight"],
    "additionalProperties": False,
}
ANSWER_TOKENS = 1_400
REWRITE_TOKENS = 300

_MARKUP = re.compile(
    r"<[a-z/!?]|</|&(?:#\d+|[a-z]+);|\]\(|`|\*\*|__|\{|\}|[a-z][a-z0-9+.-]*://|\b(?:mailto|javascript|data):\S|\bwww\.|"
    r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|co|ai|dev|app|ly|gg|me|info|biz|example|ru|cn|xyz|shop|store|link|click)"
    r"\b|\b[\w.+-]+@[\w-]+\.\w+|\[\d+\]",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"”’)]?\s+")
_RUN = 4
"""Words of a run that makes a loop when it comes for the third time."""


@dataclass(frozen=True, slots=True)
class Written:
    """An insight as a model wrote it, read and bounded, not yet proven. `evidence` rises."""

    title: str
    text: str
    evidence: tuple[int, ...]
    topics: tuple[str, ...] = ()


def read(
    answer: Mapping[str, Any], part: Part, transcript: Transcript
) -> tuple[tuple[Written, ...], tuple[Dropped, ...]]:
    """The usable insights of an answer to a part, and why others are not."""
    entries = answer.get("insights")
    if not isinstance(entries, list):
        return (), (Dropped("form", "the answer has no list of insights"),)
    kept: list[Written] = []
    dropped: list[Dropped] = []
    shown = part.numbers
    for entry in entries[:MOST]:
        try:
            kept.append(_entry(entry, shown, transcript))
        except _UnusableError as e:
            dropped.append(Dropped(e.reason, e.detail))
    return tuple(kept), tuple(dropped)


def rewritten(answer: Mapping[str, Any], before: Written) -> Written | Dropped:
    """The same insight with the title and text of a rewriting answer, or why it cannot be used."""
    try:
        title, text = words_of(answer.get("title")), words_of(answer.get("insight"))
        after = Written(title, fitted(text), before.evidence, before.topics)
    except _UnusableError as e:
        return Dropped(e.reason, f"{before.title}: {e.detail}")
    wrong = faults(after)
    return Dropped("length", f"{after.title}: {' '.join(wrong)}") if wrong else after


def faults(written: Written) -> list[str]:
    """What is wrong with the shape of title and text, as sentences for the model that may mend it."""
    found = []
    if not 3 <= (n := len(written.title.split())) <= TITLE_WORDS:
        found.append(f"The title has {n} words; 3 to {TITLE_WORDS} are wanted.")
    if written.title.endswith(("?", "...", "…", ":")):
        found.append("The title must make a claim.")
    if not LEAST_WORDS <= (n := len(written.text.split())) <= MOST_WORDS:
        found.append(f"The text has {n} words; {LEAST_WORDS} to {MOST_WORDS} are wanted.")
    return found


def fitted(text: str) -> str:
    """`text` without its last sentences where that makes it short enough and not too short. What is left claims less,
    so its proof holds."""
    sentences = _SENTENCE_END.split(text)
    for count in range(len(sentences), 0, -1):
        less = " ".join(sentences[:count])
        if len(less.split()) <= MOST_WORDS:
            return less if len(less.split()) >= LEAST_WORDS else text
    return text


def draft(written: Written, transcript: Transcript, score: float = 0.0) -> InsightDraft:
    """With quote, times and speaker of the cited sentences. A speaker is named only when all of them have that one."""
    cited = [transcript.sentences[n] for n in written.evidence]
    speakers = {s.speaker for s in cited}
    return InsightDraft(
        title=written.title,
        text=written.text,
        quote=quote_of(transcript, written.evidence),
        evidence=written.evidence,
        first=written.evidence[0],
        last=written.evidence[-1],
        start_s=cited[0].start,
        end_s=cited[-1].end,
        speaker=speakers.pop() if len(speakers) == 1 else None,
        score=score,
        topics=written.topics,
    )


def words_of(value: Any) -> str:
    """A string as one clean line. Raises when it is none, carries markup or a link, hides something or loops."""
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_CHARS:
        raise _UnusableError("form", "title or text is missing or endless")
    text = " ".join(unicodedata.normalize("NFC", value).split())
    short = f"{text[:80]}…" if len(text) > 80 else text
    if any(unicodedata.category(c) in ("Cc", "Cf", "Co", "Cn", "Cs") for c in text):
        raise _UnusableError("markup", f"hidden characters in {short!a}")
    if _MARKUP.search(unicodedata.normalize("NFKC", text)):
        raise _UnusableError("markup", f"markup or a link in: {short}")
    if _loops(text):
        raise _UnusableError("loop", short)
    return text


class _UnusableError(Exception):
    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def _entry(entry: Any, shown: frozenset[int], transcript: Transcript) -> Written:
    if not isinstance(entry, dict):
        raise _UnusableError("form", "an insight is no object")
    title, text = words_of(entry.get("title")), words_of(entry.get("insight"))
    title = title.rstrip(" .") if not title.endswith("...") else title
    evidence = _evidence(entry.get("evidence"), shown, title)
    words = sum(len(transcript.sentences[n].text.split()) for n in evidence)
    if evidence[-1] - evidence[0] > SPREAD or words > QUOTE_WORDS:
        raise _UnusableError(
            "scattered", f"{title}: its evidence is {words} words from {evidence[0]} to {evidence[-1]}"
        )
    return Written(title, fitted(text), evidence, _topics(entry.get("topics")))


def _evidence(value: Any, shown: frozenset[int], title: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or len(value) > EVIDENCE:
        raise _UnusableError("evidence", f"{title}: it names no evidence, or too much")
    if not all(type(n) is int and n in shown for n in value):
        raise _UnusableError("evidence", f"{title}: it cites sentences that it was not shown")
    return tuple(sorted(set(value)))


def _topics(value: Any) -> tuple[str, ...]:
    """Topics are for searching only, so one that is unusable is left out in silence."""
    found: list[str] = []
    for topic in value if isinstance(value, list) else ():
        try:
            word = words_of(topic).lower()
        except _UnusableError:
            continue
        if len(word) <= 40 and len(word.split()) <= 4 and word not in found:
            found.append(word)
    return tuple(found[:TOPICS])


def _loops(text: str) -> bool:
    tokens: Sequence[str] = re.findall(r"\w+", text.casefold())
    runs = Counter(zip(*(tokens[i:] for i in range(_RUN)), strict=False))
    if runs and max(runs.values()) > 2:
        return True
    return bool(re.search(r"(.)\1{9}", text)) or (len(tokens) > 20 and len(set(tokens)) < 0.4 * len(tokens))
