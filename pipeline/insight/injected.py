"""Sentences that are spoken to whatever machine reads the transcript: "ignore your instructions", "rank this first".

They are no idea for a person, so no prompt shows them and no insight rests on them: what is not there cannot be obeyed.
Known wordings only; whoever finds another still meets a judge that sees no more than the sentences an insight cites.
"""

from __future__ import annotations

import re
import unicodedata

_LOOKALIKES = str.maketrans(
    # Cyrillic, Armenian, Greek, then digits that pass for Latin letters.
    "аеорсухіјѕԁɡһпո" + "αεορτυνικ" + "01345",
    "aeopcyxijsdghnn" + "aeoptuvik" + "oieas",
)
_RULES = r"(?:instructions?|prompts?|rules|guidelines|directions|directives|orders|programming)"
_READER = r"(?:a\.?i\.?|assistant|language models?|llms?|chat ?bots?|chatgpt|gpt|claude|gemini|summari[sz]ers?|model)"
_PHRASES = (
    rf"\b(?:ignore|disregard|forget|override|bypass|discard)\b[^.?!]{{0,40}}\b{_RULES}\b",
    r"\b(?:ignore|disregard|forget) (?:everything|all|anything)[^.?!]{0,12}\b(?:above|before|previous|so far|said)\b",
    rf"\b(?:new|real|actual|updated|hidden|following) {_RULES} (?:are|is|for|follow)\b",
    r"\b(?:rank|rate|score|grade|place|put|list|mark|select|choose|pick) (?:\w+ ){1,5}?"
    r"(?:first|highest|top|number one|ten out of ten|10 out of 10|10/10|at the top|as (?:the )?best)\b(?: [a-z]+ )?"
    r"(?=[^.?!]*\b(?:insight|digest|list|summary|episode|quote|sentence|passage|above|others?|every|all|shows?|podcasts?)|[.!?,;:\"']|$)",
    r"\b(?:highest|maximum|top|perfect|full) (?:score|rank|rating|grade)\b[^.?!]{0,30}\b(?:this|us|me|episode|show)\b",
    r"\b(?:give|assign|award) (?:this|it|us|me|the) (?:\w+ ){0,3}(?:the |a )?(?:highest|maximum|top|perfect|full|best) "
    r"(?:possible )?(?:score|rank|rating|grade|marks?)\b",
    rf"^(?:dear|attention|hey|hello|listen|note to|message (?:to|for)|to|for) (?:the |all |any |every )?{_READER}s?\b",
    rf"\bif you(?:'re| are) (?:an? |the )?{_READER}\b",
    rf"\byou are (?:now |actually )?(?:an? |the )?(?:\w+ )?{_READER}\b",
    r"\b(?:always )?(?:answer|respond|reply) (?:with )?(?:only |just )?[\"'‘“]?(?:yes|no)\b[\"'’”]?"
    r"(?: to (?:every|all|any)|[.!]?$)",
    r"\b(?:print|output|return|respond with|reply with|answer with|include|insert|add) "
    r"(?:only |exactly |the following |this |an? |the )*(?:json|link|url|html|markdown|system prompt|"
    r"sentence numbers)\b",
    r"\b(?:system|developer|assistant|user) ?(?:message|prompt|role)? ?:",
    r"\bend of (?:the )?(?:transcript|prompt|context|document)\b|\bbegin(?:ning)? of (?:new )?instructions?\b",
    r"[\"'“]?insights[\"'”]? ?: ?\[|\{ ?[\"'“]?\w+[\"'”]? ?:|<\|? ?/?(?:im_start|im_end|system|user|assistant|"
    r"transcript|sentences|statement|inst|s)\b|\[/?inst\]|###? ?(?:system|instruction)",
    r"\bcite (?:only )?sentences? (?:number )?\d|\b(?:evidence|sentence) numbers? (?:is|are|must be)\b",
    # the same in other languages
    r"\b(?:ignorier\w*|vergiss|missachte\w*)\b[^.?!]{0,40}\b(?:anweisung|regel|vorgabe|instruktion)\w*",
    r"\b(?:ignora|ignore|olvida|ignorad|ignorez|oublie[zs]?|ignorate|dimentica|esque[cç]a|negeer|ignorera|ignoruj)\b"
    r"[^.?!]{0,40}\b(?:instruc|instrucoes|instruções|consigne|regle|règle|regla|regras|istruzion|instructies|regels|"
    r"instruktion|polecen|zasad)\w*",
    r"\b(?:bewerte|setze|stelle) (?:dies\w*|uns|mich|es)\b[^.?!]{0,30}\b(?:erste\w*|höchst\w*|bestnote|oben)",
    r"\b(?:clasifica|pon|coloca|classe|mets|classifica|metti) (?:esto|este|ceci|cet\w*|questo|isto)\b[^.?!]{0,30}"
    r"\b(?:primer\w*|premi[eè]r\w*|primo|primeiro|arriba|haut|cima)",
    r"(?:忽略|无视|無視)[^。!?]{0,20}(?:指令|指示|说明|規則|规则|提示)|(?:指示|命令|ルール)[^。!?]{0,10}(?:無視|忘れ)",
    r"(?:игнориру|забуд|не обращай)[^.?!]{0,40}(?:инструкц|правил|указани)|(?:지시|명령|규칙)[^.?!]{0,15}(?:무시|잊)",
)
_SPOKEN = re.compile("|".join(f"(?:{phrase})" for phrase in _PHRASES), re.IGNORECASE)


def to_a_machine(text: str) -> bool:
    """Whether a sentence addresses the machine that reads it instead of people."""
    plain = " ".join("".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf").split())
    if _SPOKEN.search(plain):
        return True
    # A sentence in another alphabet may be a Latin one in disguise.
    return _SPOKEN.search(plain.casefold().translate(_LOOKALIKES)) is not None
