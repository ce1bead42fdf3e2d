"""What a mail server's reply means for a mail and for the run. Pure.

    verb      4xx      5xx                             line lost
    connect   away     AUTH: pause                     away
    MAIL      defer    pause                           defer
    RCPT      defer    5.7.x: pause, else refused      defer
    DATA      defer    5.7.x: pause, else fail         defer
    body      defer    5.7.x: pause, else fail         defer
    end       defer    5.7.x: pause, else fail         uncertain

421 and 454, and a lost line, are strikes against the server: after so many in a row it is left alone for a while.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["go on", "sent", "defer", "refused", "fail", "pause", "uncertain"]
Verb = Literal["MAIL", "RCPT", "DATA", "end"]

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer to a verb."""

    code: int
    text: str

    @property
    def status(self) -> str | None:
        """The enhanced status of RFC 3463, `5.1.1`, when the text carries one that fits the code."""
        m = _STATUS.search(self.text)
        return m[0] if m and m[1] == str(self.code)[0] else None

    def __str__(self) -> str:
        return f"{self.code} {self.text}"[:500]


def said(code: int, text: bytes | str) -> Reply:
    """A reply as smtplib gives it; printable text only, whatever the server sent."""
    read = (text.decode("utf-8", "replace") if isinstance(text, bytes) else text)[:2000]
    if not read.isprintable():
        read = "".join(c if c.isprintable() else " " for c in read)
    return Reply(code, " ".join(read.split())[:500])


def outcome(verb: Verb, reply: Reply) -> Outcome:
    """What follows from a reply. A code that is no SMTP reply at all is the line's end in another form."""
    good: Outcome = "sent" if verb == "end" else "go on"
    wanted = range(300, 400) if verb == "DATA" else range(200, 300)
    if reply.code in wanted:
        return good
    if not 500 <= reply.code < 600:
        # An answer that makes no sense after the whole mail was handed over says nothing about its fate.
        return "uncertain" if verb == "end" and not 400 <= reply.code < 500 else "defer"
    if verb == "MAIL" or (reply.status or "").startswith("5.7."):
        return "pause"
    return "refused" if verb == "RCPT" else "fail"


def strikes(reply: Reply) -> bool:
    """Whether the server says that it has no time for us."""
    return reply.code in (421, 454)
