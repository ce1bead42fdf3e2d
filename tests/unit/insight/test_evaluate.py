"""Figures on findings: known cases by hand, and the commands on real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.main import run
from pipeline.insight.evaluate import (
    against_grades,
    against_run,
    compared,
    duplicates,
    ndcg,
    precision,
    rank_correlation,
    segment_scores,
    summary,
    top_overlap,
    window_scores,
)


def episode(key: str, spans: list[tuple[int, int]], **changes: Any) -> dict[str, Any]:
    insights = [{"first": a, "last": b, "insight": "word " * 50} for a, b in spans]
    passages = [{"first": k, "last": k, "score": (k + 1) / 10} for k in range(8)]
    row = {"key": key, "words": [10] * 8, "seconds": 2.0, "tokens": 100, "passages": passages, "insights": insights}
    return row | {"dropped": {"numbers": 1, "twin": 3}} | changes


def test_ndcg_and_precision_by_hand() -> None:
    assert ndcg([3, 2, 1], [4, 0, 0]) == 1.0
    assert ndcg([1, 2, 3], [4, 0, 0]) == pytest.approx(0.5)  # the best at place three: log2(4) = 2
    assert ndcg([1, 2], [0, 0]) == 1.0
    assert precision([5, 4, 3, 2, 1], [3, 4, 2, 0, 3]) == 0.6


def test_a_window_takes_the_score_of_what_covers_most_of_it() -> None:
    passages = [{"first": 0, "last": 2, "score": 0.2}, {"first": 2, "last": 5, "score": 0.9}]
    assert window_scores(passages, [(0, 2), (2, 3), (7, 8)], [5, 5, 5, 5, 5, 5, 5, 5, 5]) == [0.2, 0.9, 0.0]
    assert segment_scores(passages, 4) == [0.2, 0.2, 0.9, 0.9]


def test_rank_correlation_with_ties_and_without_spread() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_summary_counts_what_proof_dropped() -> None:
    told = summary({"episodes": [episode("a", [(0, 1)]), episode("b", [(2, 3), (4, 5)], tokens=None)]})
    assert (told["insights"], told["dropped"], told["words"]) == (3, {"twin": 6, "numbers": 2}, 50.0)
    assert told["proof_rate"] == pytest.approx(3 / 5)
    assert (told["s_per_insight"], told["tokens_per_insight"]) == (pytest.approx(4 / 3), pytest.approx(100 / 3))


def test_duplicates_are_the_same_words_or_the_same_place() -> None:
    said = {"insight": "Waste fell from 14 percent to 5 when the last batch was baked late on every day of the week"}
    same, other = said | {"first": 0, "last": 1}, {"insight": "Dough decides the rise", "first": 4, "last": 6}
    assert duplicates([episode("a", [], insights=[same, other])]) == 0
    assert duplicates([episode("a", [], insights=[same]), episode("b", [], insights=[same])]) == 1
    again = {"insight": "Rise is a matter of dough, they say", "first": 5, "last": 6}
    assert duplicates([episode("a", [], insights=[other, again])]) == 1
    assert duplicates([episode("a", [], insights=[other]), episode("b", [], insights=[again])]) == 0
    assert summary({"episodes": [episode("a", [], insights=[other, again])]})["duplicates"] == 1


def test_a_stronger_models_run_is_a_measure() -> None:
    # Passages are scored higher the later they come, and the stronger model made insights of 6 and of 1.
    strong = {"episodes": [episode("a", [], insights=[{"first": 6, "last": 6, "insight": "x", "score": 0.9}])]}
    strong["episodes"][0]["insights"].append({"first": 1, "last": 1, "insight": "y", "score": 0.5})
    told = against_run({"episodes": [episode("a", []), episode("elsewhere", [])]}, strong)
    assert told["episodes"] == 1 and told["precision@5"]["mean"] == pytest.approx(0.2)
    gain, less = 2**3.6 - 1, 2**2.0 - 1
    best = gain + less / 1.584962500721156
    assert told["ndcg@5"]["mean"] == pytest.approx((gain / 1.584962500721156) / best)
    assert against_run({"episodes": []}, strong) == {"episodes": 0, "ndcg@5": None, "precision@5": None}


def test_one_run_beside_another() -> None:
    a = {"episodes": [episode(f"e{k}", [(0, 1), (4, 5)]) for k in range(6)]}
    other = [episode(f"e{k}", [(1, 2), (6, 7)], seconds=1.0) for k in range(1, 7)]
    found = compared(a, {"episodes": other})
    assert found["episodes"] == 5 and found["overlap@5"] == {"mean": 0.5, "error": 0.0}
    assert found["rank_correlation"]["mean"] == pytest.approx(1.0)
    assert found["verdict"] == (
        "No fit for a swap: it picks other insights (overlap 0.50, rank +1.00, 5 episodes). 2.0 times as fast."
    )
    assert "A fit" in compared(a, a)["verdict"]
    assert (
        "proves less" in compared(a, {"episodes": [episode("e1", [(0, 1), (4, 5)], dropped={"names": 9})]})["verdict"]
    )
    assert "no episode in common" in compared(a, {"episodes": []})["verdict"]
    assert top_overlap([], []) == 1.0


def test_grades_only_of_episodes_that_are_graded() -> None:
    gold = {"a": {"spans": [[0, 3], [4, 7]], "grades": [0, 4]}}
    told = against_grades({"episodes": [episode("a", []), episode("x", [])]}, gold)
    assert told["episodes"] == 1 and told["ndcg@5"]["mean"] == 1.0


def test_the_commands_on_a_real_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PODSIFT_DATA_DIR", str(tmp_path / "data"))
    segments = [
        {"speaker": "Ada", "startTime": 5.0 * k, "endTime": 5.0 * k + 4.9, "body": f"{text} number {k}."}
        for k, text in enumerate(["Queues lie about lateness because nobody counts what never arrives in"] * 30)
    ]
    Path("talk.json").write_text(json.dumps({"version": "1.0.0", "segments": segments}))
    assert run(["eval", "run", "talk.json", "--output", "a.json"]) == 0
    assert "1 episodes" in capsys.readouterr().out
    made = json.loads(Path("a.json").read_text())
    assert made["writer"] == "selecting" and sum(made["episodes"][0]["words"]) > 300
    Path("gold").mkdir()
    Path("gold/talk.json").write_text(json.dumps({"spans": [[0, 9], [10, 29]], "grades": [1, 3]}))
    assert run(["eval", "show", "a.json", "--gold", "gold", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["graded_episodes"] == 1
    assert run(["eval", "compare", "a.json", "a.json"]) == 0
    assert "Too few episodes" in capsys.readouterr().out
    assert run(["eval", "stored", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"insights": [], "dropped": [], "calls": []}
    assert run(["eval", "run", "--output", "b.json"]) == 3
    Path("bad.json").write_text('{"episodes": [1]}')
    assert run(["eval", "compare", "bad.json", "a.json"]) == 2
    assert "is no run" in capsys.readouterr().err
