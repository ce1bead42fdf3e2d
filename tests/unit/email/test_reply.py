"""What a reply means: every class of code at every verb."""

import pytest

from pipeline.email.reply import Reply, Verb, outcome, said, strikes


@pytest.mark.parametrize(
    ("verb", "code", "text", "meant"),
    [
        ("MAIL", 250, "ok", "go on"),
        ("MAIL", 451, "4.7.1 greylisted", "defer"),
        ("MAIL", 550, "5.1.8 bad sender", "pause"),
        ("MAIL", 552, "no room", "pause"),
        ("RCPT", 250, "ok", "go on"),
        ("RCPT", 251, "will forward", "go on"),
        ("RCPT", 450, "later", "defer"),
        ("RCPT", 421, "busy", "defer"),
        ("RCPT", 550, "5.1.1 no such user", "refused"),
        ("RCPT", 550, "no such user", "refused"),
        ("RCPT", 550, "5.7.515 not authenticated", "pause"),
        ("RCPT", 354, "what", "defer"),
        ("DATA", 354, "go on", "go on"),
        ("DATA", 250, "what", "defer"),
        ("DATA", 451, "later", "defer"),
        ("DATA", 554, "no", "fail"),
        ("DATA", 554, "5.7.1 policy", "pause"),
        ("end", 250, "taken", "sent"),
        ("end", 452, "no room", "defer"),
        ("end", 554, "5.6.0 bad", "fail"),
        ("end", 550, "5.7.1 spam", "pause"),
        ("end", 354, "what", "uncertain"),
        ("end", -1, "", "uncertain"),
        ("MAIL", -1, "", "defer"),
    ],
)
def test_outcome(verb: Verb, code: int, text: str, meant: str) -> None:
    assert outcome(verb, Reply(code, text)) == meant


def test_a_status_counts_only_when_it_fits_the_code() -> None:
    assert Reply(550, "5.1.1 no").status == "5.1.1"
    assert Reply(550, "4.1.1 no").status is None
    assert Reply(450, "try 4.2.0").status == "4.2.0"
    assert Reply(550, "version 15.1.20 says no").status is None


def test_hostile_text_is_one_short_printable_line() -> None:
    assert said(550, b"\x1b[31mno\r\n\xff" + b"x" * 9999).text.startswith("[31mno")
    assert len(said(550, b"x" * 9999).text) == 500 and "\x1b" not in said(550, b"\x1b[31m").text


def test_strikes() -> None:
    assert [strikes(Reply(c, "")) for c in (421, 454, 450, 550)] == [True, True, False, False]
