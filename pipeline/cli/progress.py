"""Progress bars over a pass: one line a stage and episode in flight."""

from __future__ import annotations

import threading
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

NAMES = {"download": "downloading", "transcribe": "transcribing", "extract": "finding insights in"}
NAMES |= {"relate": "comparing insights of"}


class Bars:
    """Shows stages as they run and adds up the seconds of each."""

    def __init__(self, console: Console, titles: dict[int, str]):
        self.titles = titles
        self.seconds: dict[str, float] = {}
        self.outcomes: list[tuple[str, int, str]] = []
        self._started: dict[tuple[str, int], float] = {}
        self._tasks: dict[tuple[str, int], TaskID] = {}
        self._lock = threading.Lock()
        self.progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=console,
        )

    def report(self, stage: str, episode_id: int, outcome: str) -> None:
        """The engine's report."""
        key = (stage, episode_id)
        with self._lock:
            if outcome == "start":
                self._started[key] = monotonic()
                title = self.titles.get(episode_id, f"episode {episode_id}")
                self._tasks[key] = self.progress.add_task(f"{NAMES.get(stage, stage):19} {title[:40]}", total=1.0)
                return
            self.outcomes.append((stage, episode_id, outcome))
            spent = monotonic() - self._started.pop(key)
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
            self.progress.update(self._tasks.pop(key), completed=1.0 if outcome == "done" else None)

    def share(self, stage: str, episode_id: int, share: float) -> None:
        """The workshop's progress within a stage."""
        with self._lock:
            task = self._tasks.get((stage, episode_id))
        if task is not None:
            self.progress.update(task, completed=share)
