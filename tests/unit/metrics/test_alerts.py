"""docs/alerts.yml, as Prometheus itself reads it: its rules, what they fire on, and the metrics that they are about.

`promtool` comes with Debian's package `prometheus`; without it these are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.clock import FixedClock
from pipeline.metrics.exposition import render
from pipeline.settings import Settings
from pipeline.store.database import Database
from tests.unit.metrics.test_metrics import fill

ALERTS = Path(__file__).resolve().parents[3] / "docs" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")

FIRES: dict[str, tuple[dict[str, str], dict[str, str], int]] = {
    # alert: series that fire it, series that do not, minutes after which it is looked at
    "PodsiftDatabaseAway": ({"podsift_up": "0x200"}, {"podsift_up": "1x200"}, 10),
    "PodsiftDigestsLate": (
        {"podsift_digest_overdue_seconds": "1900x200"},
        {"podsift_digest_overdue_seconds": "60x200"},
        1,
    ),
    "PodsiftMailsStuck": (
        {'podsift_mail_oldest_seconds{state="deferred"}': "7300x200"},
        {'podsift_mail_oldest_seconds{state="sent"}': "99999x200"},
        1,
    ),
    "PodsiftMailUncertain": (
        {'podsift_mails{state="uncertain"}': "1x200"},
        {'podsift_mails{state="uncertain"}': "0x200", 'podsift_mails{state="sent"}': "9x200"},
        1,
    ),
    "PodsiftMailServerHeld": ({"podsift_mail_servers_held": "1x200"}, {"podsift_mail_servers_held": "0x200"}, 40),
    "PodsiftQueueOld": (
        {'podsift_queue_oldest_seconds{stage="extract"}': "50000x200"},
        {'podsift_queue_oldest_seconds{stage="future"}': "50000x200"},
        1,
    ),
    "PodsiftEpisodesFail": (
        {
            'podsift_day_stage_runs{stage="extract",outcome="failed"}': "2x200",
            'podsift_day_stage_runs{stage="extract",outcome="done"}': "20x200",
        },
        {
            'podsift_day_stage_runs{stage="extract",outcome="failed"}': "1x200",
            'podsift_day_stage_runs{stage="extract",outcome="done"}': "99x200",
        },
        1,
    ),
    "PodsiftTooSlow": ({"podsift_day_real_time_factor": "0.9x500"}, {"podsift_day_real_time_factor": "0.2x500"}, 400),
    "PodsiftProofFalls": (
        {"podsift_day_proof_rate": "0.4x200", "podsift_day_insights": "21x200"},
        {"podsift_day_proof_rate": "0.4x200", "podsift_day_insights": "3x200"},
        1,
    ),
    "PodsiftLanguageModelAway": (
        {'podsift_llm_up{server="a"}': "0x200"},
        {'podsift_llm_up{server="a"}': "1x200"},
        20,
    ),
    "PodsiftDiskFull": (
        {'podsift_disk_bytes{kind="free"}': "4x200", 'podsift_disk_bytes{kind="total"}': "100x200"},
        {'podsift_disk_bytes{kind="free"}': "9x200", 'podsift_disk_bytes{kind="total"}': "100x200"},
        1,
    ),
    "PodsiftFeedsFail": (
        {"podsift_feeds_failing": "3x500", 'podsift_feeds{state="active"}': "10x500"},
        {"podsift_feeds_failing": "2x500", 'podsift_feeds{state="active"}': "10x500"},
        400,
    ),
}


def promtool(*argv: str, stdin: bytes = b"", cwd: Path | None = None) -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *argv], input=stdin, cwd=cwd, capture_output=True, check=False, timeout=60)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_prometheus_takes_the_rules() -> None:
    assert f"{len(FIRES)} rules found" in promtool("check", "rules", str(ALERTS))


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else(tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path / "alerts.yml")
    rules = {r["alert"]: r for g in yaml.safe_load(ALERTS.read_text())["groups"] for r in g["rules"]}
    assert rules.keys() == FIRES.keys()
    tests = []
    for name, (ill, well, minutes) in FIRES.items():
        for series, fires in ((ill, True), (well, False)):
            found = [_labels(series) | rules[name]["labels"]] if fires else []
            alerts = [{"exp_labels": labels, "exp_annotations": rules[name]["annotations"]} for labels in found]
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": s, "values": _values(v)} for s, v in series.items()],
                    "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": alerts}],
                }
            )
    case = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(case))
    assert "SUCCESS" in promtool("test", "rules", "test.yml", cwd=tmp_path)


def _values(of: str) -> str:
    """`VALUExN` as promtool writes a series that stays."""
    value, times = of.split("x")
    return f"{value}+0x{times}"


def _labels(series: dict[str, str]) -> dict[str, str]:
    """The labels that are left in what a rule gives: none where it sums, all where it compares one series."""
    if len(series) > 1:
        return {}
    (name,) = series
    inside = name.partition("{")[2].rstrip("}")
    return {k: v.strip('"') for k, v in (part.split("=") for part in inside.split(",") if part)}


def test_prometheus_takes_the_metrics(db: Database, settings: Settings, clock: FixedClock) -> None:
    fill(db, settings)
    promtool("check", "metrics", stdin=render(db, settings, clock))
