"""What a topic means is worked out once for all who ask, and means the same as asking for each."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pipeline.digest.wishes import LIFT, Meant, granted
from pipeline.records import Subscriber
from pipeline.store.insights import Candidate
from tests.fakes.rows import stored

AT = datetime(2026, 11, 20, 7, tzinfo=UTC)
WHO = Subscriber(3, "reader@example.org", "UTC", 7, 0, 5, "active", "n" * 32, AT)
WORDS = ("bread", "queue", "queues", "c++", "q. e. d.", "straße", "new york", "york")


def candidate(n: int, text: str, topics: tuple[str, ...], score: float) -> Candidate:
    return Candidate(stored(n, text, score, AT, feed=n % 3, topics=topics), f"key {n}", None)


one_topic = st.sampled_from(WORDS)
some = st.lists(one_topic, max_size=3, unique=True).map(tuple)
made = st.lists(
    st.tuples(st.lists(st.sampled_from((*WORDS, "BREAD", "Breads", "and")), max_size=6), some, st.floats(-1, 1)),
    max_size=6,
)


def asked_for_each(c: Candidate, topics: tuple[str, ...]) -> bool:
    """The rule in its plain form: by its topics, else by whole words in any case."""
    if not topics:
        return False
    if any(t.casefold() in topics for t in c.insight.topics):
        return True
    words = rf"\b(?:{'|'.join(map(re.escape, topics))})\b"
    return re.search(words, f"{c.insight.title}\n{c.insight.text}".casefold()) is not None


@given(made, some, some, st.sets(st.integers(0, 2)), st.sets(st.integers(0, 2)))
def test_what_is_granted_is_what_the_plain_rule_grants(
    rows: list[tuple[list[str], tuple[str, ...], float]],
    wanted: tuple[str, ...],
    muted: tuple[str, ...],
    loud: set[int],
    quiet: set[int],
) -> None:
    everything = [candidate(n, " ".join(w), t, s) for n, (w, t, s) in enumerate(rows)]
    who = replace(WHO, wanted_topics=wanted, muted_topics=muted, wanted_shows=tuple(loud), muted_shows=tuple(quiet))
    meant = Meant(everything)
    for _ in range(2):  # what is remembered says the same
        found = granted(everything, who, meant)
        kept = [c for c in everything if c.insight.feed_id not in quiet and not asked_for_each(c, muted)]
        assert [c.insight.id for c in found] == [c.insight.id for c in kept]
        for had, was in zip(found, kept, strict=True):
            score = was.insight.score
            lifted = score * LIFT if score >= 0 else score / LIFT
            up = was.insight.feed_id in loud or asked_for_each(was, wanted)
            assert had.insight.score == (lifted if up else score)
