"""Parts are started again when they end, with growing waits, and stopped in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engine import supervise
from pipeline.engine.supervise import Part, Supervisor, parts, pause_s, read_status, said


def process(part: Part) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", part.argv[0]])


def stop_when(ready: Callable[[], bool], times: int = 1) -> threading.Thread:
    def ask() -> None:
        until = time.monotonic() + 40
        while not ready() and time.monotonic() < until:
            time.sleep(0.05)
        for _ in range(times):
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


SLEEP = "import time; time.sleep(60)"


def test_which_parts_there_are() -> None:
    assert [p.name for p in parts(False, None, True, 5)] == ["engine", "web"]
    assert parts(False, Path("x.toml"), False, 5)[0].argv == (
        "--config",
        "x.toml",
        "up",
        "--alone",
        "--lock-fd",
        "5",
    )
    assert [p.name for p in parts(True, None, False, None)] == ["worker", "clock"]


def test_waits_grow_and_end() -> None:
    assert [pause_s(n) for n in (1, 2, 3, 7, 50)] == [1, 2, 4, 60, 60]


def test_one_that_ends_is_started_again_and_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_S", 0.01)
    seen: list[dict[str, dict[str, object]]] = []
    counted: list[str] = []

    def start(part: Part) -> subprocess.Popen[bytes]:
        counted.append(part.name)
        return process(part)

    killer = threading.Thread(target=lambda: _kill_then_stop(tmp_path / "s", seen))
    killer.start()
    assert Supervisor([Part("a", (SLEEP,)), Part("b", (SLEEP,))], tmp_path / "s", start).run() == 0
    killer.join()
    assert counted == ["a", "b", "a"]
    assert seen[0]["a"]["restarts"] == 1 and seen[0]["a"]["last_exit"] == -9 and seen[0]["b"]["restarts"] == 0
    assert not (tmp_path / "s").exists()


def _kill_then_stop(status: Path, seen: list[dict[str, dict[str, object]]]) -> None:
    try:
        until = time.monotonic() + 30
        while not read_status(status) and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(int(read_status(status)["a"]["pid"]), signal.SIGKILL)
        while not read_status(status)["a"]["restarts"] and time.monotonic() < until:
            time.sleep(0.05)
        seen.append(read_status(status))
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def test_they_are_stopped_the_other_way_round(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = (
        "import signal,sys,time\ndef end(*_):\n time.sleep({wait}); open({file!r},'a').write('{name}'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nopen({file!r} + '-{name}', 'w')\ntime.sleep(60)"
    )
    made = [Part(n, (code.format(wait=w, file=str(told), name=n),)) for n, w in (("1", 0), ("2", 0.4), ("3", 0.2))]
    thread = stop_when(lambda: len(list(tmp_path.glob("told-*"))) == 3)
    assert Supervisor(made, tmp_path / "s", process).run() == 0
    thread.join()
    assert told.read_text() == "321"


def test_a_second_word_kills(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    deaf = (
        f"import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w'); time.sleep(60)"
    )
    thread = stop_when(ready.exists, 2)
    begun = time.monotonic()
    assert Supervisor([Part("deaf", (deaf,))], tmp_path / "s", process).run() == 0
    thread.join()
    assert time.monotonic() - begun < 50


@pytest.mark.parametrize("code", [2, 4])
def test_what_a_new_start_does_not_heal_ends_all(tmp_path: Path, code: int) -> None:
    made = [Part("a", (SLEEP,)), Part("b", (f"raise SystemExit({code})",))]
    assert Supervisor(made, tmp_path / "s", process).run() == code


def test_exits_in_words(tmp_path: Path) -> None:
    assert (said(1), said(-9), said(-99)) == ("exit code 1", "SIGKILL", "signal 99")
    (tmp_path / "s").write_text("{")
    assert read_status(tmp_path / "s") == {} == read_status(tmp_path / "none")
