"""Replies as they come over the wire, and messages as DATA takes them."""

from __future__ import annotations

import smtplib

import pytest

from pipeline.email.line import LONGEST_LINE, LONGEST_REPLY, first_reply
from pipeline.email.smtp import ready


@pytest.mark.parametrize(
    ("heard", "then"),
    [
        (b"", None),
        (b"25", None),
        (b"250 ok", None),
        (b"250 ok\r\n", (250, "ok", 8)),
        (b"250 ok\n", (250, "ok", 7)),
        (b"250\r\n", (250, "", 5)),
        (b"250-one\r\n", None),
        (b"250-one\r\n250 two\r\n354 next\r\n", (250, "one two", 18)),
        (b"what is this\r\n", (-1, "is this", 14)),
        (b"\r\n", (-1, "", 2)),
        (b"2\xb25 digits of another alphabet\r\n", (-1, "digits of another alphabet", 32)),
        (b"550 \xff\x00\x1b[31m no\r\n", (550, "\ufffd [31m no", 16)),
    ],
)
def test_the_first_reply_of_what_was_heard(heard: bytes, then: tuple[int, str, int] | None) -> None:
    found = first_reply(heard)
    assert (found and (found[0].code, found[0].text, found[1])) == then
    if then:
        assert all(first_reply(heard[:k]) is None for k in range(then[2])), "not before it is whole"


@pytest.mark.parametrize("heard", [b"2" * (LONGEST_LINE + 1), b"250-more\r\n" * (LONGEST_REPLY // 10 + 1)])
def test_a_reply_that_does_not_end_is_an_end_of_the_line(heard: bytes) -> None:
    with pytest.raises(smtplib.SMTPResponseException):
        first_reply(heard)


@pytest.mark.parametrize(
    ("message", "then"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n..\r\na.b\r\n", b"..\r\n...\r\na.b\r\n.\r\n"),
        (b"a\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
        (b"a\n.\nb", b"a\n..\nb\r\n.\r\n"),
    ],
)
def test_dots_are_doubled_where_a_line_begins(message: bytes, then: bytes) -> None:
    assert ready(message) == then
