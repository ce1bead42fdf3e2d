"""Which language a text is in, as far as a transcript must not be in another one than its audio. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_COMMON = {
    "en": "the and that you of to is it was they have with this what not are for but so",
    "de": "und der die das ich nicht ist wir auch ein eine mit sie es aber dass auf wie zu",
    "fr": "et les des est que pas une dans qui pour vous nous mais avec sur ce il elle",
    "es": "que los las una por con para pero como más está muy porque es lo del su",
    "it": "che non di per una sono con come anche ma più questo della è gli nel",
    "pt": "que não uma para com mas como mais isso você está muito dos ele por os",
    "nl": "het een van dat niet zijn maar ook wij voor met je ik op heeft deze er",
    "sv": "och att det som är inte jag för på med en har var så men",
}
_WORDS = {code: frozenset(words.split()) for code, words in _COMMON.items()}
_SCRIPTS = {
    "ja": ("HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL",),
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "el": ("GREEK",),
    "ar": ("ARABIC",),
    "fa": ("ARABIC",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "th": ("THAI",),
    "zh": ("CJK",),
}
_LEAST = 60


def contradicts(text: str, language: str | None) -> str | None:
    """Why a text cannot be in this language (a tag such as `de-AT`), or None when it may be, or nobody can tell."""
    code = re.split(r"[-_]", language.strip().lower())[0] if language else ""
    sample = text[:200_000]
    letters = Counter(unicodedata.name(c, "?").split()[0] for c in sample[:5000] if c.isalpha())
    if sum(letters.values()) < _LEAST:
        return None
    script = letters.most_common(1)[0][0]
    if code in _SCRIPTS:
        expected = _SCRIPTS[code]
        held = sum(n for name, n in letters.items() if name.startswith(expected)) / sum(letters.values())
        return f"the feed says {code}, and the text is written in {script.lower()} letters" if held < 0.1 else None
    if code not in _WORDS:
        return None
    if script != "LATIN":
        return f"the feed says {code}, and the text is written in {script.lower()} letters"
    words = re.findall(r"[^\W\d_]+", sample.casefold())
    if len(words) < _LEAST:
        return None
    shares = {c: sum(w in known for w in words) / len(words) for c, known in _WORDS.items()}
    best = max(shares, key=lambda c: shares[c])
    if best != code and shares[best] > 0.15 and shares[best] > 2 * shares[code]:
        return f"the feed says {code}, and the text reads like {best}"
    return None
