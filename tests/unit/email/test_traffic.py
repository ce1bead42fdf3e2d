"""Rates, slots and the breaker, with a clock that stands."""

from datetime import timedelta

from pipeline.email.traffic import Breaker, Bucket, Domains
from pipeline.store.outbox import Claim


def test_a_bucket_lets_its_rate_through() -> None:
    now = [0.0]
    bucket = Bucket(60, lambda: now[0])  # one a second, ten at once after a rest
    waits = [bucket.take() for _ in range(5)]
    assert waits == [0.0, 1.0, 2.0, 3.0, 4.0]
    now[0] = 1000.0
    assert [bucket.take() for _ in range(10)] == [0.0] * 10
    assert bucket.take() == 1.0


def test_no_limit_never_waits() -> None:
    bucket = Bucket(0, lambda: 0.0)
    assert {bucket.take() for _ in range(1000)} == {0.0}


def mail(n: int, domain: str) -> Claim:
    return Claim(n, n, f"a@{domain}", domain, b"", 0, "me")


def test_domains_have_so_many_slots() -> None:
    domains = Domains(2)
    waiting = [mail(1, "a"), mail(2, "a"), mail(3, "a"), mail(4, "b")]
    for domain in ("a", "a"):
        assert domains.first_free(waiting) == 0
        domains.enter(domain)
    assert domains.first_free(waiting) == 3
    domains.leave("a")
    assert domains.first_free(waiting) == 0
    assert Domains(1).first_free([]) is None


def test_the_breaker_opens_after_strikes_in_a_row_and_rests_longer_each_time() -> None:
    breaker = Breaker(3)
    assert [breaker.strike("421") for _ in range(2)] == [False, False]
    breaker.forgive()
    assert [breaker.strike("421") for _ in range(3)] == [False, False, True]
    assert breaker.rest == timedelta(minutes=5)
    assert Breaker(3, 4).rest == timedelta(minutes=10)
    assert Breaker(3, 99).rest == timedelta(hours=2)
