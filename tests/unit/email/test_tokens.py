"""Tokens: one purpose each, old keys still verify, forgeries and old ones are refused."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.email import tokens
from pipeline.errors import ConfigError, RefusedError
from pipeline.settings import Settings
from tests.conftest import NOW


def keyed(*pairs: str) -> Settings:
    return Settings.model_validate({"secret_key": ",".join(pairs)})


OLD = keyed("k1:0123456789abcdef")
BOTH = keyed("k2:fedcba9876543210", "k1:0123456789abcdef")
NEW = keyed("k2:fedcba9876543210")


def test_says_what_it_was_made_with() -> None:
    made = tokens.make(OLD, "feedback", 7, "ab" * 16, insight=12, verdict="more")
    assert tokens.read(OLD, "feedback", made) == {
        "subscriber_id": 7, "nonce": "ab" * 16, "insight": 12, "verdict": "more"
    }  # fmt: skip
    assert made == tokens.make(OLD, "feedback", 7, "ab" * 16, insight=12, verdict="more")


def test_opens_nothing_but_its_purpose() -> None:
    made = tokens.make(OLD, "unsubscribe", 7, "nonce")
    for purpose in set(tokens.PURPOSES) - {"unsubscribe"}:
        with pytest.raises(RefusedError):
            tokens.read(OLD, purpose, made)


def test_a_new_key_in_front_leaves_old_links_working() -> None:
    old, new = tokens.make(OLD, "view", 7, "n"), tokens.make(BOTH, "view", 7, "n")
    assert tokens.read(BOTH, "view", old)["subscriber_id"] == tokens.read(NEW, "view", new)["subscriber_id"] == 7
    with pytest.raises(RefusedError):
        tokens.read(NEW, "view", old)


def test_confirming_ends_after_two_days_and_unsubscribing_never() -> None:
    confirm = tokens.make(OLD, "confirm", 7, "n", now=NOW)
    leave = tokens.make(OLD, "unsubscribe", 7, "n", now=NOW)
    assert tokens.read(OLD, "confirm", confirm, now=NOW + timedelta(hours=47))["nonce"] == "n"
    with pytest.raises(RefusedError, match="too old"):
        tokens.read(OLD, "confirm", confirm, now=NOW + timedelta(hours=49))
    assert tokens.read(OLD, "unsubscribe", leave, now=NOW + timedelta(days=9000))["nonce"] == "n"


def test_no_key_is_told_where_a_token_is_needed() -> None:
    with pytest.raises(ConfigError):
        tokens.make(Settings(), "view", 1, "n")  # type: ignore[call-arg]


@given(st.text(max_size=800), st.sampled_from(sorted(tokens.PURPOSES)))
def test_whatever_comes_is_refused(text: str, purpose: str) -> None:
    with pytest.raises(RefusedError):
        tokens.read(OLD, purpose, text)


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_is_refused(at: int, value: int) -> None:
    made = tokens.make(OLD, "preferences", 7, "nonce" * 6).encode()
    at %= len(made)
    if made[at] == value:
        return
    changed = (made[:at] + bytes([value]) + made[at + 1 :]).decode("latin-1")
    try:
        assert tokens.read(OLD, "preferences", changed)["subscriber_id"] == 7  # base64's spare bits
    except RefusedError:
        return
    assert at == len(made) - 1
