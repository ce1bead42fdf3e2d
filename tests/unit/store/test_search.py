"""Search: the same answers from both databases, whatever is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Sentence
from pipeline.store import blocks, insights, query, search
from pipeline.store.database import Database
from pipeline.store.search import Filters
from tests.conftest import NOW
from tests.fakes.rows import add_insights

EVERYTHING = Filters()
TEXTS = [
    "Queues lie about lateness, said the café's owner; start the clock when the person asks.",
    "Bread is baked twice at kestrel.example/oven because state-of-the-art ovens forget.",
]


@pytest.fixture
def ids(db: Database) -> list[int]:
    with db.begin() as conn:
        return add_insights(conn, NOW, TEXTS, show=1, n=1) + add_insights(conn, NOW, ["A queue of one."], show=2, n=2)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("queue", [0, 2]),
        ("QUEUES", [0, 2]),
        ("queues cafe", [0]),
        ("CAFÉ", [0]),
        ('"start the clock"', [0]),
        ('"clock the start"', []),
        ("kestrel oven", [1]),
        ("art state", [1]),
        ("bak", [1]),
        ("lateness bread", []),
        ("zebra", []),
    ],
)
def test_words(db: Database, ids: list[int], typed: str, found: list[int]) -> None:
    wanted = query.parse(typed)
    with db.begin(reads=True) as conn:
        index = search.open_index(db)
        got = index.by_words(conn, wanted, EVERYTHING)
        assert sorted(got) == sorted(ids[k] for k in found)
        said = [s.text for s in index.spoken(conn, wanted, EVERYTHING)]
    assert bool(said) == bool(found) or typed == "lateness bread"  # one block holds both sentences of episode 1


def test_filters(db: Database, ids: list[int]) -> None:
    wanted = query.parse("queue")
    index = search.open_index(db)
    with db.begin(reads=True) as conn:
        assert index.by_words(conn, wanted, Filters(feed_id=2)) == [ids[2]]
        assert index.by_words(conn, wanted, Filters(since=NOW)) == []
        assert len(index.by_words(conn, wanted, Filters(until=NOW))) == 2
        assert [s.episode_id for s in index.spoken(conn, wanted, Filters(feed_id=2))] == [2]


def test_meaning(db: Database, ids: list[int]) -> None:
    with db.begin() as conn:
        index = search.open_index(db)
        vectors = {c.insight.id: c.vector for c in insights.candidates(conn, NOW.replace(year=2020), NOW)}
        wanted = vectors[ids[1]]
        assert wanted is not None
        (first, cosine), *rest = index.by_meaning(conn, wanted, EVERYTHING)
        assert first == ids[1] and abs(cosine - 1) < 1e-5 and rest == []
        assert index.by_meaning(conn, wanted, Filters(feed_id=2)) == []
        more = add_insights(conn, NOW, ["Another one."], show=3, n=3)
        fresh = {c.insight.id: c.vector for c in insights.candidates(conn, NOW.replace(year=2020), NOW)}[more[0]]
        assert fresh is not None
        assert [i for i, _ in index.by_meaning(conn, fresh, EVERYTHING)] == more  # seen without a restart


@given(st.text(max_size=300))
def test_anything_typed_is_a_query(typed: str) -> None:
    wanted = query.parse(typed)
    assert len(wanted.terms) <= query.MAX_TERMS and "\0" not in wanted.text
    pieces = query.cut(wanted.text, query.spans(wanted.text, wanted))
    assert "".join(p for p, _ in pieces) == wanted.text


def test_hostile_queries_reach_the_database(db: Database, ids: list[int]) -> None:
    index = search.open_index(db)
    for typed in (
        '" OR 1=1',
        "a* NOT b",
        "'); DROP TABLE insight; --",
        "{title}: x",
        "\0\x01",
        "NEAR(a b)",
        "&|!:*<->",
        "ſß İ ﬁ",
    ):
        with db.begin(reads=True) as conn:
            index.by_words(conn, query.parse(typed), EVERYTHING)
            index.spoken(conn, query.parse(typed), EVERYTHING)


def test_highlight_keeps_the_text() -> None:
    found = query.spans("Café queues, cafés", query.parse("cafe queue"))
    assert [p for p, hit in query.cut("Café queues, cafés", found) if hit] == ["Café", "queues", "cafés"]


def test_fusing_prefers_what_both_know() -> None:
    assert search.fuse([1, 2, 3], [3, 4]) == [3, 1, 2, 4]
    assert search.fuse([], []) == []


def test_blocks_leave_sponsors_out() -> None:
    said = [
        Sentence(0, 0, 1, "One."),
        Sentence(1, 1, 2, "Buy it now.", mark="sponsor"),
        Sentence(2, 2, 3, "word " * 60),
        Sentence(3, 3, 4, "Two."),
    ]
    assert [(a, b) for a, b, _ in blocks.blocks_of(said)] == [(0, 0), (2, 2), (3, 3)]


def test_older_transcripts_get_blocks(db: Database, ids: list[int]) -> None:
    from sqlalchemy import delete

    from pipeline.store.tables import block

    with db.begin() as conn:
        conn.execute(delete(block))
        assert blocks.fill(conn) == 2
        assert blocks.fill(conn) == 0
        assert search.open_index(db).spoken(conn, query.parse("bread"), EVERYTHING)
