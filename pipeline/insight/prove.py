"""Holds an insight against the transcript before anybody may see it: the first of the product's promises, in code.

Proven means: the quote is the evidence sentences word for word, none of them an advertisement; every number and proper
name of title and text stands in them; times and speaker are theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipeline.insight.numbers import numbers
from pipeline.insight.title import MAX_WORDS
from pipeline.records import Dropped, InsightDraft, Sentence, Transcript

GAP = " … "
"""Stands in a quote between sentences that are not neighbours."""
_TOKEN = re.compile(r"[A-Za-z0-9À-ÿ][\w'’+#-]*(?:\.[A-Za-z0-9]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?…:;]|[\"“(—–-])\s*[\"“(]?$")
_NOT_NAMES = frozenset(("i", "i'm", "i've", "i'd", "i'll", "ok", "okay"))
_MIN_OVERLAP_S = 0.05
"""Times are stored as floats; less than this is rounding."""


def prove(draft: InsightDraft, transcript: Transcript, known: str = "") -> Dropped | None:
    """None when the draft is proven, else why not. `known` are names that need no evidence: the show, its people."""
    for failed in (_shape, _evidence, _numbers, _names):
        detail = failed(draft, transcript, known)
        if detail:
            return Dropped(failed.__name__.strip("_"), f"{draft.title}: {detail}")
    return None


def proven(
    drafts: Iterable[InsightDraft], transcript: Transcript, known: str = ""
) -> tuple[tuple[InsightDraft, ...], tuple[Dropped, ...]]:
    """The drafts that are proven, in order, and what was dropped."""
    kept, dropped = [], []
    for draft in drafts:
        failure = prove(draft, transcript, known)
        if failure is None:
            kept.append(draft)
        else:
            dropped.append(failure)
    return tuple(kept), tuple(dropped)


def quote_of(transcript: Transcript, evidence: Sequence[int]) -> str:
    """The verbatim sentences, joined by a space, or by an ellipsis where sentences between them are left out."""
    quote, before = "", None
    for number in evidence:
        joint = "" if before is None else " " if number == before + 1 else GAP
        quote += joint + transcript.sentences[number].text
        before = number
    return quote


def _shape(draft: InsightDraft, transcript: Transcript, known: str) -> str | None:  # noqa: ARG001 - one signature
    if not draft.title.strip() or not draft.text.strip():
        return "it has no title or no text"
    if len(draft.title.split()) > MAX_WORDS:
        return f"its title has more than {MAX_WORDS} words"
    return None


def _evidence(draft: InsightDraft, transcript: Transcript, known: str) -> str | None:  # noqa: ARG001 - one signature
    numbered = draft.evidence
    if not numbered:
        return "it names no evidence"
    if list(numbered) != sorted(set(numbered)) or numbered[0] < 0 or numbered[-1] >= len(transcript.sentences):
        return "its evidence is not a rising list of this transcript's sentences"
    if not draft.first <= numbered[0] or not numbered[-1] <= draft.last:
        return "its evidence lies outside of its passage"
    sentences = _cited(draft, transcript)
    if any(sentence.mark is not None for sentence in sentences):
        return "its evidence is part of a sponsor read"
    if draft.quote != quote_of(transcript, numbered):
        return "its quote is not the evidence word for word"
    if draft.speaker is not None and any(sentence.speaker != draft.speaker for sentence in sentences):
        return f"its evidence was not all said by {draft.speaker}"
    if draft.start_s > sentences[0].start + _MIN_OVERLAP_S or draft.end_s < sentences[-1].end - _MIN_OVERLAP_S:
        return "its times leave out a part of the evidence"
    return None


def _numbers(draft: InsightDraft, transcript: Transcript, known: str) -> str | None:  # noqa: ARG001 - one signature
    missing = numbers(f"{draft.title} ; {draft.text}") - numbers(" ".join(s.text for s in _cited(draft, transcript)))
    return f"the evidence does not say {', '.join(map(str, sorted(missing)))}" if missing else None


def _names(draft: InsightDraft, transcript: Transcript, known: str) -> str | None:
    cited = _cited(draft, transcript)
    speakers = {sentence.speaker for sentence in cited if sentence.speaker}
    said = _forms(" ".join([*(sentence.text for sentence in cited), *speakers, known]))
    claimed = proper_names(draft.text) | (set() if _in_title_case(draft.title) else proper_names(draft.title))
    missing = sorted(name for name in claimed if not _forms(name) <= said)
    return f"the evidence does not name {', '.join(missing)}" if missing else None


def proper_names(text: str) -> set[str]:
    """Words written with a capital inside a sentence, and those at its start that a second capital follows or marks."""
    found = list(_TOKEN.finditer(text))
    names = set()
    for i, token in enumerate(found):
        word = token.group()
        if not any(c.isupper() for c in word) or word.lower().replace("’", "'") in _NOT_NAMES:
            continue
        inner_capital = any(c.isupper() for c in word[1:])
        starts = _SENTENCE_START.search(text[: token.start()]) is not None
        next_word = found[i + 1] if i + 1 < len(found) else None
        goes_on = (
            next_word is not None
            and next_word.group()[0].isupper()
            and text[token.end() : next_word.start()] == " "
            and next_word.group().lower().replace("’", "'") not in _NOT_NAMES
            and len(word) > 3
        )
        if not starts or inner_capital or goes_on:
            names.add(re.sub(r"['’]s$", "", word))
    return names


def _cited(draft: InsightDraft, transcript: Transcript) -> list[Sentence]:
    return [transcript.sentences[number] for number in draft.evidence]


def _forms(text: str) -> set[str]:
    """Lower-case words of a text, without possessive and plural s, hyphens and dots: "GPT-4's" finds "GPT 4"."""
    return {
        re.sub(r"(?:['’]s|s['’]?)$", "", part)
        for token in _TOKEN.findall(text)
        for part in re.split(r"[-.+#]", token.lower())
        if part
    }


def _in_title_case(title: str) -> bool:
    """Whether a title capitalises its ordinary words, so that capitals say nothing about names."""
    long_words = [word for word in _TOKEN.findall(title) if len(word) > 3]
    return len(long_words) > 2 and sum(word[0].isupper() for word in long_words) > 0.7 * len(long_words)
