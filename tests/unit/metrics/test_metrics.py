"""Metrics and the days' figures say what the rows say; servers and GPUs that are away are figures, not errors."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, update

from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.engine.step import Done, Stage, step
from pipeline.errors import WaitingError
from pipeline.metrics import days, served
from pipeline.metrics.exposition import render, write_file
from pipeline.settings import Settings, load
from pipeline.store.database import Database, open_database
from pipeline.store.tables import insight_drop, llm_call, stage_run, subscriber, transcript
from tests.conftest import NOW, environ_of
from tests.fakes.pages import pages
from tests.fakes.rows import add_episode, add_insights, add_subscriber

ROOT = Path(__file__).resolve().parents[3]
LOADS = ROOT / "tests" / "fixtures" / "sglang" / "07f_loads_under_load.json"


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


def run_of(episode: int, stage: str, seconds: float, **more: object) -> dict[str, object]:
    row = {"episode_id": episode, "stage": stage, "at": NOW - timedelta(hours=1), "seconds": seconds}
    return row | {"outcome": "done", "audio_s": None, "gpu": False} | more


def fill(db: Database, settings: Settings) -> None:
    with db.begin() as conn:
        add_insights(conn, NOW, ["A claim with 3 numbers.", "Another claim."], n=1)
        add_episode(conn, NOW - timedelta(hours=2), show=2, n=7)
        build(conn, add_subscriber(conn, NOW), settings, never, NOW)
        conn.execute(update(transcript).values(source="whisper"))
        runs = [
            run_of(1, "transcribe", 30.0, audio_s=600.0, gpu=True),
            run_of(1, "extract", 10.0, audio_s=600.0, gpu=True),
            run_of(1, "relate", 1.0),
            run_of(2, "download", 3.0, outcome="failed"),
            run_of(1, "relate", 1.0, at=NOW - timedelta(days=3)),
        ]
        conn.execute(insert(stage_run), runs)
        drops = [{"episode_id": 1, "reason": "number: 7 not there", "detail": "", "at": NOW - timedelta(hours=1)}] * 2
        conn.execute(insert(insight_drop), drops)
        call = {"model": "m", "revision": None, "purpose": "extract", "prompt_version": None, "seconds": 1.0}
        tokens = {"prompt_tokens": 90, "completion_tokens": 10, "cached_tokens": 40, "outcome": "ok"}
        conn.execute(insert(llm_call), [call | tokens | {"at": NOW - timedelta(hours=1)}])
        conn.execute(update(subscriber).values(next_digest_at=NOW - timedelta(hours=1)))


def values(text: bytes) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for s in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(s.labels.items()))
            found[f"{s.name}{{{labels}}}" if labels else s.name] = s.value
    return found


def test_they_say_what_the_rows_say(db: Database, settings: Settings, clock: FixedClock) -> None:
    fill(db, settings)
    got = values(render(db, settings, clock))
    wanted = {
        "podsift_up": 1,
        "podsift_episodes{stage=download}": 1,
        "podsift_queue_oldest_seconds{stage=download}": 7200,
        "podsift_day_stage_runs{outcome=done,stage=relate}": 1,
        "podsift_day_stage_seconds{outcome=done,stage=transcribe}": 30,
        "podsift_day_stage_quantile_seconds{share=0.5,stage=extract}": 10,
        "podsift_day_episodes": 1,
        "podsift_day_insights": 2,
        "podsift_day_proof_rate": 0.5,
        "podsift_day_gpu_seconds": 40,
        "podsift_day_tokens": 100,
        "podsift_day_real_time_factor": 0.05,
        "podsift_day_dropped{reason=number}": 2,
        "podsift_mails{state=queued}": 1,
        "podsift_digests_overdue": 1,
        "podsift_digest_overdue_seconds": 3600,
    }
    assert {k: got.get(k) for k in wanted} == wanted
    with db.begin() as conn:
        today, before = days.rows(conn, NOW, 14)
    assert (today["gpu_s_an_insight"], today["tokens_an_insight"], today["failed"]) == (20, 50, 1)
    assert (before["day"], before["episodes"], before["proof_rate"]) == ("2026-11-17", 1, None)


def test_each_run_of_a_stage_leaves_a_row(db: Database, clock: FixedClock) -> None:
    with db.begin() as conn:
        first, second = (add_episode(conn, clock.now(), n=n) for n in (1, 2))

    def waits(_id: int) -> Done:
        raise WaitingError("the disk is full")

    step(db, clock, Stage("download", lambda _: Done(lambda _c: None, audio_s=60.0, gpu=True), "done", 1, 1), first)
    step(db, clock, Stage("download", waits, "done", 1, 1), second)
    with db.begin() as conn:
        rows = conn.execute(stage_run.select().order_by(stage_run.c.id)).all()
    assert [(r.episode_id, r.outcome, r.audio_s, r.gpu) for r in rows] == [
        (first, "done", 60.0, True),
        (second, "waits", None, False),
    ]
    assert all(0 <= r.seconds < 60 and r.host for r in rows)


def test_an_empty_installation_has_figures_too(settings: Settings, sqlite: Database, clock: FixedClock) -> None:
    got = values(render(sqlite, settings, clock))
    assert got["podsift_up"] == 1 and "podsift_day_proof_rate" not in got


def test_a_database_that_is_away_is_a_figure(settings: Settings, clock: FixedClock, tmp_path: Path) -> None:
    db = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    try:
        assert values(render(db, settings, clock))["podsift_up"] == 0
    finally:
        db.close()


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    said: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = said.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", said
        httpd.shutdown()


def test_the_servers_own_figures_are_handed_on(
    server: tuple[str, dict[str, bytes]], sqlite: Database, settings: Settings, clock: FixedClock, tmp_path: Path
) -> None:
    import json

    url, said = server
    said["/ready"] = b"ok"
    said["/v1/loads"] = json.dumps(json.loads(LOADS.read_text())["response"]).encode()
    said["/metrics"] = (
        b"# TYPE sglang:cached_tokens counter\nsglang:cached_tokens_total 7\n# TYPE other gauge\nother 1\n"
    )
    env = environ_of(tmp_path) | {"PODSIFT_LLM_URL": f"{url}/v1, http://127.0.0.1:1"}
    got = values(render(sqlite, load(environ=env), clock))
    assert got[f"podsift_llm_up{{server={url}/v1}}"] == 1
    assert got["podsift_llm_up{server=http://127.0.0.1:1}"] == 0
    assert got[f"podsift_llm_load{{of=running,server={url}/v1}}"] == 0
    assert got[f"sglang:cached_tokens_total{{server={url}/v1}}"] == 7
    assert not [k for k in got if k.startswith("other")]


@pytest.mark.parametrize("raw", [None, b"", b"{", b"[]", b'{"loads": 3}', b'{"loads": [1]}', b"[" * 100_000])
def test_what_is_no_answer_is_no_figure(raw: bytes | None) -> None:
    assert served.read_loads(raw) == {}
    assert list(served.read_metrics(raw)) == []


def test_a_server_that_is_away_takes_no_time() -> None:
    assert served.look("http://127.0.0.1:1", load(environ={}).llm) == served.Served("http://127.0.0.1:1", False)


def test_a_textfile_is_replaced_whole(tmp_path: Path) -> None:
    write_file(tmp_path / "p.prom", b"a 1\n")
    write_file(tmp_path / "p.prom", b"a 2\n")
    assert (tmp_path / "p.prom").read_bytes() == b"a 2\n" and len(list(tmp_path.iterdir())) == 1
    assert (tmp_path / "p.prom").stat().st_mode & 0o777 == 0o644


def test_the_alerts_name_metrics_that_exist(db: Database, settings: Settings, clock: FixedClock) -> None:
    rules = [r for g in yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text())["groups"] for r in g["rules"]]
    fill(db, settings)
    text = render(db, settings, clock).decode()
    used = {name for r in rules for name in re.findall(r"podsift_\w+", r["expr"])}
    assert len(rules) >= 10 and {n for n in used if f"# TYPE {n} " not in text} == set()
    assert all(r["annotations"].keys() == {"summary", "try"} for r in rules)


def test_the_pages_serve_them_to_the_operator_alone(tmp_path: Path, clock: FixedClock) -> None:
    token = "operator-token-of-a-test"
    for given, wanted in ((None, 404), (token, 200)):
        env = environ_of(tmp_path) | ({"PODSIFT_WEB_OPERATOR_TOKEN": given} if given else {})
        settings = load(environ=env)
        db = open_database(settings)
        try:
            with pages(settings, db, clock) as url, httpx.Client(base_url=url, trust_env=False) as http:
                assert http.get("/metrics").status_code == (401 if given else 404)
                assert http.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code in (401, 404)
                right = http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
                assert right.status_code == wanted
                if given:
                    assert values(right.content)["podsift_up"] == 1
                    day = http.get("/ops/days", headers={"Authorization": f"Bearer {token}"})
                    assert day.status_code == 200 and "Nothing happened" in day.text
        finally:
            db.close()


def test_the_command_serves_them_on_loopback(tmp_path: Path) -> None:
    import os
    import signal
    import subprocess
    import sys

    env = {k: v for k, v in os.environ.items() if not k.startswith("PODSIFT_")} | {"PODSIFT_DATA_DIR": str(tmp_path)}
    argv = [sys.executable, "-P", "-c", "from pipeline.cli.main import main; main()", "metrics", "--listen", "0"]
    with subprocess.Popen(argv, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = re.search(r"http://\S+?/metrics", process.stdout.readline())
        assert url is not None
        with urllib.request.urlopen(url[0], timeout=10) as answer:
            assert values(answer.read())["podsift_up"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
