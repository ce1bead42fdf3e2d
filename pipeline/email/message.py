"""The digest as bytes that are made once, and sent as they are.

Python's `policy.SMTP` rewrites a long List-Unsubscribe as encoded words, which breaks it; this policy writes the
headers that carry addresses and ids verbatim.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Any

from pipeline.email import dkim
from pipeline.email.addresses import reply_address, sender_domain, unsubscribe_mailto
from pipeline.email.links import links
from pipeline.email.render import Rendered
from pipeline.records import Subscriber
from pipeline.settings import Settings


class DigestPolicy(EmailPolicy):
    """SMTP policy that leaves List-* and Message-ID alone; quoted-printable lines of at most 76 characters."""

    def fold(self, name: str, value: Any) -> str:
        if name.lower().startswith("list-") or name.lower() == "message-id":
            return f"{name}: {value}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii", "surrogateescape")


class Headers(HeaderRegistry):
    """Makes the class of a header once: the standard library's makes it anew for each header of each mail."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, type[BaseHeader]] = {}

    def __getitem__(self, name: str) -> type[BaseHeader]:
        found = self._made.get(name.lower())
        if found is None:
            found = self._made[name.lower()] = super().__getitem__(name)
        return found


POLICY = DigestPolicy(
    linesep=SMTP.linesep, raise_on_defect=SMTP.raise_on_defect, header_factory=Headers(), max_line_length=76,
    cte_type="7bit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mail:
    """A message ready for DATA."""

    message_id: str
    data: bytes


def one_line(text: str) -> str:
    """Text of a feed or transcript as one header line: a line break in a title adds no header."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def build(rendered: Rendered, who: Subscriber, digest_id: int, settings: Settings, now: datetime) -> Mail:
    """Serialise a digest. The same input gives the same bytes, so that a resend is recognised as the same mail."""
    domain = sender_domain(settings)
    m = started(who.email, rendered.subject, f"digest.{digest_id}.{who.id}.{who.nonce[:8]}", settings, now)
    m["List-Id"] = f"Podsift digest <digest.{domain}>"
    ours = links(settings, who)
    if ours is not None and ours.base.startswith("https://"):
        m["List-Unsubscribe"] = f"<{ours.unsubscribe}>"
        m["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    else:
        m["List-Unsubscribe"] = f"<{unsubscribe_mailto(who, settings)}>"
    m["List-Help"] = f"<mailto:{reply_address(settings)}?subject=help>"
    if ours is not None and settings.web.public:
        m["List-Archive"] = f"<{ours.base}/archive>"
    m["Feedback-ID"] = f"digest:podsift:{domain}"
    return finished(m, rendered.text, rendered.html, f"=_podsift_{digest_id}_{who.id}", settings, now)


def started(to: str, subject: str, name: str, settings: Settings, now: datetime) -> EmailMessage:
    """A message with what each of ours has; `name` becomes its Message-ID."""
    m = EmailMessage(policy=POLICY)
    m["From"] = settings.smtp.sender
    m["To"] = to
    if settings.smtp.reply_to:
        m["Reply-To"] = settings.smtp.reply_to
    m["Subject"] = one_line(subject)
    m["Date"] = format_datetime(now)
    m["Message-ID"] = f"<{name}@{sender_domain(settings)}>"
    m["Auto-Submitted"] = "auto-generated"
    return m


def finished(m: EmailMessage, text: str, html: str, boundary: str, settings: Settings, now: datetime) -> Mail:
    """Text first, then HTML; serialised once, and those bytes signed where a key is set."""
    m.set_content(text, cte="quoted-printable")
    m.add_alternative(html, subtype="html", cte="quoted-printable")
    m.set_boundary(boundary)
    data = m.as_bytes()
    return Mail(str(m["Message-ID"]), dkim.signed(data, settings.smtp, now) if dkim.configured(settings.smtp) else data)
