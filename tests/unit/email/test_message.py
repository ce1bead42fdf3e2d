"""The message: headers verbatim, both parts, hostile titles harmless, the same bytes each time."""

import email
import email.policy
from datetime import UTC, datetime

import pytest

from pipeline.email import message
from pipeline.email.render import clock_time, render
from pipeline.records import DigestIssue, DigestItem, StoredInsight, Subscriber
from pipeline.settings import Settings

AT = datetime(2026, 11, 20, 7, tzinfo=UTC)
WHO = Subscriber(3, "reader@example.org", "UTC", 7, 0, 5, "active", "0123456789abcdef" * 4, AT)


def issue(title: str = "A claim", text: str = "The words.", url: str | None = "https://example.org/e") -> DigestIssue:
    i = StoredInsight(
        1, 1, 1, title, text, "The quote.", 0, 0, 65.0, 70.0, "Ada", 0.5, "moe", None, "Show <b>", "Ep & isode", url,
        AT, "whisper",
    )  # fmt: skip
    return DigestIssue("2026-11-20", (DigestItem(1, i),), 5, 3, 2, thin_reason="A thin day.")


def parsed(settings: Settings, given: DigestIssue) -> email.message.EmailMessage:
    data = message.build(render(given, WHO, settings), WHO, 7, settings, AT).data
    assert max(len(line) for line in data.split(b"\r\n")) <= 200
    read = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(read, email.message.EmailMessage)
    return read


def test_headers_and_parts(settings: Settings) -> None:
    m = parsed(settings, issue())
    assert m["Message-ID"] == "<digest.7.3.01234567@localhost>"
    assert "unsubscribe" in m["List-Unsubscribe"] and "=?" not in m["List-Unsubscribe"]
    assert "List-Unsubscribe-Post" not in m  # one-click needs an https address, which this version does not have
    assert m["Auto-Submitted"] == "auto-generated" and m["Precedence"] is None
    assert [p.get_content_type() for p in m.iter_parts()] == ["text/plain", "text/html"]


def test_the_same_bytes_each_time(settings: Settings) -> None:
    one, two = (message.build(render(issue(), WHO, settings), WHO, 7, settings, AT).data for _ in range(2))
    assert one == two


def test_remembered_header_classes_change_no_byte(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ("A claim", "Ünïcode, long " * 12, "x" * 300, "<script>, \r\n.dots", "…", "日本の" * 40)
    made = [message.build(render(issue(title=t), WHO, settings), WHO, 7, settings, AT).data for t in titles]
    plain = message.POLICY.clone(header_factory=email.policy.SMTP.header_factory)
    monkeypatch.setattr(message, "POLICY", plain)
    assert made == [message.build(render(issue(title=t), WHO, settings), WHO, 7, settings, AT).data for t in titles]


def test_markup_of_a_feed_is_text_in_the_mail(settings: Settings) -> None:
    m = parsed(settings, issue(title="<script>alert(1)</script>\r\nBcc: x@example.org", url="javascript:alert(1)"))
    html = m.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<script>" not in html and "javascript:" not in html and "Show &lt;b&gt;" in html
    assert m["Bcc"] is None


def test_the_text_part_says_it_all(settings: Settings) -> None:
    text = parsed(settings, issue()).get_body(("plain",)).get_content()  # type: ignore[union-attr]
    for said in (
        "A claim",
        "The words.",
        '"The quote."',
        "Ada, Show <b>: Ep & isode, at 1:05",
        "A thin day.",
        "unsubscribe",
    ):
        assert said in text


def test_clock_time() -> None:
    assert [clock_time(s) for s in (0, 65.9, 3725)] == ["0:00", "1:05", "1:02:05"]
