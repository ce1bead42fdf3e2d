"""The names of speakers, as far as publisher and feed say them. Pure; nothing is guessed.

A label that a tool made up (`Speaker 1`, `SPEAKER_00`, `Unknown`) is no name. `Ann`, `Ann:`, `ANN LEE` or `AL` is the
person of the feed it can only mean; where two would fit, the label stays as the publisher wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.records import Person

_NO_NAME = re.compile(
    r"(?:speaker|spk|voice|participant|person|sprecher(?:in)?|locuteur|hablante)[ _#-]*(?:\d{1,3}|[a-z])?"
    r"|unknown(?: speaker)?|(?:fe)?male(?: voice| speaker)?(?: \d)?|s\d{1,2}|n/?a|none|\?+|[\W\d_]*",
    re.IGNORECASE,
)
_ROLES = {"host": "host", "guest": "guest", "interviewer": "host", "moderator": "host", "co-host": "cohost"}


def named(labels: Sequence[str | None], persons: Sequence[Person]) -> list[str | None]:
    """A name for each label, or None."""
    known = {label: _name(label, persons) for label in dict.fromkeys(labels)}
    return [known[label] for label in labels]


def _name(label: str | None, persons: Sequence[Person]) -> str | None:
    plain = " ".join((label or "").strip().rstrip(":").split())
    if _NO_NAME.fullmatch(plain):
        return None
    names = list(dict.fromkeys(" ".join(p.name.split()) for p in persons if p.name.strip()))
    low = plain.casefold()
    if low in _ROLES:
        held = {
            " ".join(p.name.split()) for p in persons if (p.role or "host").casefold().replace("-", "") == _ROLES[low]
        }
        return held.pop() if len(held) == 1 else plain
    fitting = [name for name in names if _fits(low, name.casefold())]
    return fitting[0] if len(fitting) == 1 else plain


def _fits(label: str, name: str) -> bool:
    """Whether a label is a name, one of its words, or its initials."""
    words = name.split()
    initials = "".join(word[0] for word in words)
    return label in (name, *words) or (len(words) > 1 and label.replace(".", "") == initials)
