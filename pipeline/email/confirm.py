"""The mail that asks an address's owner for a yes."""

from __future__ import annotations

from datetime import datetime

from pipeline.email.message import Mail, finished, started
from pipeline.email.render import environment, inliner
from pipeline.records import Subscriber
from pipeline.settings import Settings

SUBJECT = "Please confirm: a digest of podcast insights"


def confirm_mail(who: Subscriber, link: str, settings: Settings, now: datetime) -> Mail:
    """A short mail with one link to a page with a button. The same input gives the same bytes."""
    values = {"who": who, "link": link, "site": settings.web.base_url, "subject": SUBJECT}
    html = inliner().inline(environment().get_template("confirm.html.j2").render(values))
    text = environment().get_template("confirm.txt.j2").render(values)
    at = int(now.timestamp())
    m = started(who.email, SUBJECT, f"confirm.{who.id}.{at}.{who.nonce[:8]}", settings, now)
    return finished(m, text, html, f"=_podsift_confirm_{who.id}_{at}", settings, now)
