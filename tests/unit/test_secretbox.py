"""Small secrets at rest: what opens what, and what is said when nothing does."""

import pytest
from pydantic import SecretStr

from pipeline.errors import ConfigError
from pipeline.secretbox import SecretBox, secret_keys
from pipeline.settings import Settings

OLD, NEW = "k1:" + "a" * 32, "k2:" + "b" * 32


def box(*keys: str, purpose: str = "p") -> SecretBox:
    return SecretBox(dict(k.split(":", 1) for k in keys), purpose)


def test_sealed_differs_each_time_and_opens() -> None:
    b = box(OLD)
    one, two = b.seal("geheim ☃"), b.seal("geheim ☃")
    assert one != two and "geheim" not in one and one.startswith("v1.k1.")
    assert b.open(one) == b.open(two) == "geheim ☃"


def test_a_new_key_in_front_still_opens_the_old() -> None:
    sealed = box(OLD).seal("x")
    both = box(NEW, OLD)
    assert both.open(sealed) == "x" and not both.newest(sealed)
    again = both.seal("x")
    assert both.newest(again) and box(NEW).open(again) == "x"
    with pytest.raises(ConfigError, match="'k1'"):
        box(NEW).open(sealed)


def test_nothing_else_opens_it() -> None:
    sealed = box(OLD).seal("x")
    head, _, tail = sealed.rpartition(".")
    bad = ["", "x", "v1", "v2" + sealed[2:], head, head + ".", head + ".AAAA", head + "." + tail[:-8], head + ".ä§"]
    bad.append(head + "." + ("B" if tail[0] == "A" else "A") + tail[1:])
    for broken in bad:
        with pytest.raises(ConfigError):
            box(OLD).open(broken)
    with pytest.raises(ConfigError):
        box(OLD, purpose="another").open(sealed)
    with pytest.raises(ConfigError):
        box("k1:" + "c" * 32).open(sealed)


@pytest.mark.parametrize("value", ["", "k1", "k1:short", "k1:" + "a" * 32 + ",k1:" + "b" * 32, "k 1:" + "a" * 32, ","])
def test_keys_that_are_wrong(value: str, settings: Settings) -> None:
    with pytest.raises(ConfigError) as e:
        secret_keys(settings.model_copy(update={"secret_key": SecretStr(value)}))
    assert e.value.hint and "aaaa" not in str(e.value)


def test_keys_newest_first_and_none_is_said(settings: Settings) -> None:
    found = secret_keys(settings.model_copy(update={"secret_key": SecretStr(f"{NEW}, {OLD}")}))
    assert list(found) == ["k2", "k1"]
    with pytest.raises(ConfigError, match="No secret_key"):
        secret_keys(settings)
