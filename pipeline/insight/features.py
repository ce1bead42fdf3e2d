"""What can be counted in a passage without a model: the hand features of the ranker.

Each is a plain number; the ranker standardises them. Word lists are short and closed: they name kinds of talk (reasons,
contrasts, advice, small talk), not subjects.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.insight.lexicon import ANSWERS, CONNECTIVES, PRONOUNS, STOP
from pipeline.records import Passage, Sentence, Transcript

WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*|\d[\d,.]*")
_NUMBER = re.compile(
    r"\d[\d,.]*|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|"
    r"sixty|seventy|eighty|ninety|hundred|thousand|million|billion|half|third|twice|double|percent)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][A-Za-z0-9+]+")
_LEAD = re.compile(r"[A-Za-z'’]+")

_PHRASES = {
    "causal": r"because|so that|therefore|that's why|which means|leads? to|led to|caused?|as a result|the reason|"
    r"in order to",
    "contrast": r"but|instead|rather|however|although|actually|turns? out|turned out|not just|in fact|whereas|"
    r"even though|on the other hand|contrary|unlike",
    "compare": r"more|less|better|worse|most|least|bigger|smaller|faster|slower|easier|harder|higher|lower|than|"
    r"best|worst",
    "general": r"always|never|every|any time|anytime|often|usually|tend to|tends to|everyone|nobody|no one|whenever|"
    r"people",
    "advice": r"should|need to|needs to|have to|must|don't|make sure|you want to|the key|important|the trick|focus on|"
    r"start with|try to|avoid|learn(?:ed|t)?|lesson|mistake",
    "conditional": r"if|when|unless|until|once|without",
    "hedge": r"maybe|probably|i guess|sort of|kind of|i think|i mean|you know|like|basically|not sure|i don't know|"
    r"whatever",
    "small_talk": r"thanks?|thank you|welcome|hello|hi|hey|glad|excited|awesome|laughs?|laughter|laughing|bye|love it|"
    r"great to|nice to|good to|cheers|fun",
    "show_talk": r"podcast|episode|show|listeners?|sponsors?|subscribe|shownotes|show notes|slack|newsletter|website|"
    r"\.com|check out|link|today|conference|twitter|tune in|guest|host|conversation|segment|break",
    "story": r"i was|i had|we had|we were|i went|i got|i started|years ago|back then|at the time|remember when|one day|"
    r"my",
    "research": r"study|studies|research|researchers?|data|found|evidence|experiment|measured?|percent|statistics|"
    r"paper|results?|tested|survey",
    "definition": r"is a|is an|are a|is the|is when|is that|means|called|defined?|basically a|the idea|the concept|"
    r"the difference|the problem|the question|the point",
    "first": r"i|i'm|i've|i'd|me|my|mine|myself",
    "we": r"we|we're|we've|us|our|ours",
    "you": r"you|you're|you've|your|yours|yourself",
    "abstract": r"\w+(?:tion|ment|ness|ity|ance|ence|ism|ship)s?",
}
_PATTERNS = {name: re.compile(rf"(?<![\w'])(?:{body})(?![\w'])", re.IGNORECASE) for name, body in _PHRASES.items()}

NAMES: tuple[str, ...] = (
    "log_words",
    "sentences",
    "sentence_length",
    "longest_sentence",
    "word_length",
    "variety",
    "content_share",
    "numbers",
    "names",
    "questions",
    "exclamations",
    "ends_open",
    "starts_pronoun",
    "starts_connective",
    "starts_answer",
    "after_question",
    "voices",
    "speaker_share",
    "speaker_runs_on",
    "position",
    "position_squared",
    "opening",
    "closing",
    "rarity",
    "returning",
    "neighbour_overlap",
    *_PATTERNS,
)


def text_of(transcript: Transcript, first: int, last: int) -> str:
    """The sentences `first..last` joined by single spaces, as they stand in the transcript."""
    return " ".join(sentence.text for sentence in between(transcript, first, last))


def between(transcript: Transcript, first: int, last: int) -> tuple[Sentence, ...]:
    """The sentences whose numbers lie in `first..last`."""
    return transcript.sentences[first : last + 1]


def content_words(text: str) -> list[str]:
    """Lower-case words that carry a subject, in order, with repeats."""
    return [word for word in (w.lower().replace("’", "'") for w in WORD.findall(text)) if word not in STOP]


def lead(text: str) -> str:
    """The first word, lower case, without punctuation; empty when there is none."""
    found = _LEAD.search(text)
    return found.group().lower().replace("’", "'") if found else ""


def matrix(passages: Sequence[Passage], transcript: Transcript) -> NDArray[np.float64]:
    """Shape (len(passages), len(NAMES)); rows in the order of `passages`, columns in the order of NAMES.

    What only speakers tell is NaN for a transcript that names none.
    """
    episode = _Episode(transcript)
    rows = np.array([_row(passage, transcript, episode) for passage in passages], dtype=np.float64)
    return rows.reshape(len(passages), len(NAMES))


class _Episode:
    """Counts over the whole transcript that a passage is compared with."""

    def __init__(self, transcript: Transcript):
        self.last = max(1, len(transcript.sentences) - 1)
        self.spread: Counter[str] = Counter()
        """In how many sentences a word occurs."""
        self.share: Counter[str | None] = Counter()
        total = 0
        for sentence in transcript.sentences:
            self.spread.update(set(content_words(sentence.text)))
            size = len(sentence.text.split())
            self.share[sentence.speaker] += size
            total += size
        self.total = max(1, total)
        self.voices = any(speaker is not None for speaker in self.share)


def _row(passage: Passage, transcript: Transcript, episode: _Episode) -> list[float]:
    inside = between(transcript, passage.first, passage.last)
    text = " ".join(sentence.text for sentence in inside)
    tokens = text.split()
    size = max(1, len(tokens))
    lengths = [len(sentence.text.split()) for sentence in inside]
    content = content_words(text)
    distinct = set(content)
    first = lead(text)
    before = transcript.sentences[passage.first - 1] if passage.first else None
    after = transcript.sentences[passage.last + 1] if passage.last + 1 < len(transcript.sentences) else None
    around = set(
        content_words(text_of(transcript, max(0, passage.first - 4), passage.first - 1) if passage.first else "")
    ) | set(content_words(text_of(transcript, passage.last + 1, passage.last + 4)))
    position = passage.first / episode.last
    per = 100.0 / size
    rare = [1.0 / episode.spread[word] for word in distinct]
    row = [
        math.log(size),
        float(len(inside)),
        size / max(1, len(inside)),
        float(max(lengths, default=0)),
        sum(map(len, content)) / max(1, len(content)),
        len(distinct) / math.sqrt(size),
        len(content) / size,
        min(6.0, float(len(_NUMBER.findall(text)))),
        min(6.0, float(len(_NAME.findall(text)))),
        sum(sentence.text.rstrip().endswith("?") for sentence in inside) / max(1, len(inside)),
        float(text.count("!")),
        float(text.rstrip().endswith(("...", "…", "?", "-", "—"))),
        float(first in PRONOUNS),
        float(first in CONNECTIVES),
        float(first in ANSWERS),
        float(before is not None and before.text.rstrip().endswith("?")),
        float(len({sentence.speaker for sentence in inside}) - 1) if episode.voices else math.nan,
        episode.share[inside[0].speaker] / episode.total if episode.voices else math.nan,
        float(after is not None and after.speaker == inside[-1].speaker) if episode.voices else math.nan,
        position,
        position * position,
        max(0.0, 1 - position / 0.06),
        max(0.0, 1 - (1 - position) / 0.06),
        sum(rare) / max(1, len(rare)),
        math.log1p(sum(episode.spread[word] - 1 for word in distinct) / max(1, len(distinct))),
        len(distinct & around) / max(1, len(distinct)),
    ]
    row.extend(len(pattern.findall(text)) * per for pattern in _PATTERNS.values())
    return row
