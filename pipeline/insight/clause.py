"""What a run of words is, grammatically, as far as closed word lists can tell: where its main verb is, and whether
something in it is left open. A title is chosen by this; it needs to be right mostly, and cheap always.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.insight import lexicon

_CONTRACTED = re.compile(r"^(?:we|you|i|it|that|he|she|they|there|what|who|people|here|this)['’](?:re|s|ve|ll|d|m)$")
_OWN_VERB = frozenset(("that's", "who's", "which's", "that'll", "that've", "who've", "that'd"))
"""After a noun: a clause of its own with its verb in it."""
_BETWEEN = frozenset(("to", "not", "never", "also", "just", "really", "always", "even"))
"""Words inside a group of verbs."""
_SUBJECT_PRONOUNS = frozenset(("i", "we", "you", "they", "he", "she", "i've", "we've", "you've", "we're", "you're"))


def is_verb(words: Sequence[str], at: int) -> bool:
    """Whether the lower-case word at `at` is read as a finite verb here."""
    word = words[at]
    if _CONTRACTED.match(word):
        return True
    if word not in lexicon.PRESENT and word not in lexicon.PAST:
        return False
    before = words[at - 1] if at else ""
    return word in lexicon.AUXILIARIES or (
        before not in lexicon.NOUN_BEFORE and before not in ("to", "having", "being", "than", "let's")
    )


def main_verb(words: Sequence[str]) -> int | None:
    """Index of the finite verb of the main clause; None when every verb belongs to another clause, or there is none."""
    waiting = at = 0
    while at < len(words):
        word = words[at]
        if at and word in _OWN_VERB:
            pass
        elif word in lexicon.OPENERS or (at and word in _SUBJECT_PRONOUNS and not _breaks(words[at - 1])):
            waiting = 1
        elif is_verb(words, at):
            if not waiting:
                return at
            waiting = 0
            at = _group_end(words, at)
            continue
        at += 1
    return None


def _breaks(word: str) -> bool:
    """Whether a subject of its own may follow: "and we", "today we"; but "the break we used to get" is a noun's."""
    return word in lexicon.CONNECTIVES or word in lexicon.STOP or word.endswith("ly")


def _group_end(words: Sequence[str], at: int) -> int:
    """Where the verbs end that stand together: "would have to give" is one."""
    at += 1
    while at < len(words) and (
        words[at] in _BETWEEN
        or words[at].endswith(("ing", "ly"))
        or (
            (words[at] in lexicon.AUXILIARIES or words[at] in lexicon.PRESENT or words[at] in lexicon.PAST)
            and (words[at - 1] in _BETWEEN or words[at - 1] in lexicon.AUXILIARIES)
        )
    ):
        at += 1
    return at


def left_open(words: Sequence[str]) -> bool:
    """Whether a clause begins in `words` that has no verb any more: "best practices that people"."""
    openers = [i for i, word in enumerate(words) if word in lexicon.OPENERS and i]
    if not openers:
        return False
    last = openers[-1]
    if words[last] in ("so", "that", "what", "how") and last + 1 < len(words) and not _has_subject(words[last + 1 :]):
        # "so many of them", "that data", "how to build": no clause follows.
        return words[last] == "that" and last + 2 == len(words) and words[last - 1] not in lexicon.PREPOSITIONS
    return not any(is_verb(words, i) for i in range(last + 1, len(words)))


def _has_subject(words: Sequence[str]) -> bool:
    return words[0] in lexicon.SUBJECTS or words[0] in ("new", "he", "she", "people", "many") or words[0].endswith("s")
