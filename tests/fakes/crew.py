"""A worker process for tests: quick stages that leave a trace, and one episode that kills its process.

Started as `python -P tests/fakes/crew.py URL TRACE SECONDS`; prints `ready` once it works.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.clock import SystemClock
from pipeline.engine.queue import QueueEngine
from pipeline.engine.step import Done, Stage
from pipeline.store import episodes
from pipeline.store.database import Database, open_url

POISON = "Poison"


def stages(db: Database, trace: Path, seconds: float) -> tuple[Stage, ...]:
    """Three stages that take `seconds` each and append "stage id" to the trace when they start."""

    def run(name: str, episode_id: int) -> Done:
        with db.begin() as conn:
            title = episodes.get(conn, episode_id)["title"]
        with trace.open("a") as f:
            f.write(f"{name} {episode_id}\n")
        if title == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
        return Done(lambda _conn: None)

    def stage(name: str, after: str) -> Stage:
        return Stage(name, lambda i: run(name, i), after, slots=2, retries=2)

    return stage("download", "transcribe"), stage("transcribe", "extract"), stage("extract", "done")


def main() -> None:
    url, trace, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    db = open_url(url)
    engine = QueueEngine(db, SystemClock(), stages(db, trace, seconds))
    signal.signal(signal.SIGTERM, lambda *_: engine.stop())
    print("ready", flush=True)
    engine.run(until_idle=False)


if __name__ == "__main__":
    main()
