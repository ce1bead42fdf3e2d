"""What promotion cannot do without: it asks for something, names a place or a price, or says who pays. English.

The classifier of `pitch` hears how somebody sells; polished talk with figures in it can sound the same. So what it
finds counts only with such phrases in it. The kinds were written from the first 71 reads that it was trained on (68
have at least one; of 1,675 stretches of 60 words of ordinary talk 15 % do); the ties later, when it was known which
reads of the benchmark were missed (docs/transcripts.md).
"""

from __future__ import annotations

import re

_MY = r"(?:our|their|my|the)"
_KINDS = tuple(
    re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)
    for pattern in (
        # to do something now
        r"sign(?:ing)? up|subscrib\w+|download|enter|apply at|request a|(?:get|grab) yours|switch (?:this|today|now)"
        r"|join (?:us|them|today|now)|give (?:today|now)|press (?:follow|the)",
        r"(?:order|book|buy|reserve|register|act|call) (?:it |them |yours |one )?"
        r"(?:now|today|through|before|by|this|at|online|direct)",
        # to go somewhere
        r"(?:go|head(?: over)?|come) to (?:our|the|their|my|\w+ dot|\w+\.\w)|visit (?:the|our|their|us|\w+ dot|\w+\.)"
        r"|(?:check|try) (?:it|them|us|this|yours?) (?:out|free|for)|check out|have a look at|learn more|stop (?:at|by)"
        r"|find (?:it|them|us|out more|everything|all of (?:it|them)) (?:at|on|in|online)",
        rf"{_MY} (?:shop|store|(?:web)?site|(?:web ?|home)?page|newsletter|membership|patreon|ko-fi|app|link|merch"
        r"|show ?notes|free (?:trial|tier|plan))|link (?:is|in|below)|app store|google play",
        r"dot (?:com|io|co|org|net|dev|ai|fm|app|tv|shop|jobs|eu|example|uk)|slash|code (?-i:[A-Z]{4,})"
        r"|[\w-]+\.(?:com|io|co|org|net|dev|ai|fm|app|tv|shop|jobs|eu)|past performance|terms|side effects",
        # for what
        r"for free|free (?:trial|shipping|month|for|when|of charge)"
        r"|(?:months?|weeks?|days?|nights?|lessons?|box|bags?) (?:are |is )?(?:for )?free|\w+ percent off|discount"
        r"|half (?:off|price)|save (?:\w+ )?(?:percent|up)|credits?|money back|cancel|no obligation|guarantee"
        r"|a (?:hundred|\w+) nights",
        r"tickets?|on sale|out now|available (?:now|on|at|in|from)|copies|in bookshops|pre-?order|limited|giveaway"
        r"|while (?:they|it) lasts?|doors (?:are|open)|sizes|shipping|ships?|dealer|open day|enrol\w*|applications",
        r"prices? (?:start|begin|fit)|(?:start|begin)s? at|paying \w+ a month|dollars|euros|pounds",
        # for whom, and who pays
        r"(?:support(?:ed|ers?)?|funding|funded|sponsor\w*|presented|brought to you|provided) "
        r"(?:for|by|comes?|from|this|our|us|at)|thank(?:s| you)[^.?!]{0,20} (?:to|for support)"
        r"|(?:our|new(?:est)?) (?:friends?|supporters?|partners?|members?|patrons?)",
        r"tell (?:them|a friend)|hit (?:follow|the bell|subscribe)|rating|review|five stars|new episodes|podcast app"
        r"|wherever you (?:get|listen)|this show|listeners like you|donat\w+|your gift|be matched|pledge"
        r"|every (?:week|wednesday|sunday)",
    )
)

_SHOW = r"(?:show|programme|program|podcast|series|season|episode)"
TIES = re.compile(
    rf"\b(?:support(?:s|ed|ing)? (?:us|(?:the|this|our) {_SHOW})|sponsor(?:s|ed|ing)? us|been (?:with|behind) us"
    r"|backed us|looks? after us|sent us (?:both|the|a|an|their|some|one)|mention us|who sent you"
    rf"|(?:come|came|hello|heard) from us|because of the {_SHOW}|you listen to (?:us|the {_SHOW})"
    rf"|(?:kind|good|friends?|partners?|neighbou?rs?) (?:to|of|with) (?:us|this {_SHOW}|the {_SHOW})"
    rf"|makes? (?:this|the) {_SHOW} possible|pa(?:y|ys|id) for (?:(?:part of )?this|the {_SHOW})"
    r"|our (?:friends|neighbou?rs?|producer|sister show|sponsors?|partners?)"
    r"|(?:another|new|sister) (?:show|podcast|series)"
    r"|(?:folks|people|team|makers) (?:at|of|from|behind) (?-i:[A-Z])\w+)\b",
    re.IGNORECASE,
)
"""What binds a show and what it speaks of: hardly ever said in ordinary talk, and by reads that ask for nothing too."""


def kinds(text: str) -> int:
    """How many of the kinds a text has; a tie counts for two."""
    return sum(kind.search(text) is not None for kind in _KINDS) + 2 * (TIES.search(text) is not None)
