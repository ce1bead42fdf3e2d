"""When the Whisper process is given up: silence, no progress for its kind of audio, no CPU, too much memory. Pure.

The process says every few seconds that it lives, how much CPU time it has used and how much memory it holds, from a
thread of its own; and after each span how far it is. What counts as too long follows from the audio's length and from
the slowest step so far, so a hung process is noticed in a minute or two and a slow machine is left in peace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SILENT_S = 60.0
"""Without any word, beats included. Beats come every 5 s; a machine with ten times more work than cores still gets
them out in time."""
IDLE_S = 90.0
"""Beats that show no CPU time used: a lock that nobody opens, or a stopped GPU."""
LEAST_S, MOST_S = 120.0, 900.0
STEPS = 15.0
"""So many times the slowest step so far; steps of one file differ by a factor of three."""
_CPU_STEP_S = 0.2


def limit_s(audio_s: float | None, slowest_step_s: float) -> float:
    """Seconds without progress that are too many. The first step has no pace to compare with: the audio's length."""
    if slowest_step_s > 0:
        return min(MOST_S, max(LEAST_S, STEPS * slowest_step_s))
    return MOST_S if audio_s is None else min(MOST_S, max(LEAST_S, 2 * audio_s))


@dataclass
class Watch:
    """What is known of a process at work since `begun` (monotonic seconds). `stall_s` caps every limit."""

    begun: float
    stall_s: float
    memory_bytes: int | None = None
    audio_s: float | None = None
    rss: int = 0
    peak: int = 0
    _heard: float = field(init=False)
    _progressed: float = field(init=False)
    _worked: float = field(init=False)
    _cpu_s: float | None = None
    _cpu_then: float = 0.0
    _done_s: float = 0.0
    _slowest_s: float = 0.0

    def __post_init__(self) -> None:
        self._heard = self._progressed = self._worked = self.begun

    def saw(self, event: dict[str, Any], now: float) -> None:
        """Take an event of the process into account."""
        self._heard = now
        if event["event"] == "begun":
            self.audio_s = event["seconds"]
        elif event["event"] == "progress" and event["seconds"] > self._done_s:
            self._slowest_s = max(self._slowest_s, now - self._progressed)
            self._done_s, self._progressed = event["seconds"], now
            self._cpu_then = self._cpu_s or 0.0
        elif event["event"] == "alive":
            self.rss = event["rss"]
            self.peak = max(self.peak, self.rss)
            if self._cpu_s is None:
                self._cpu_then = event["cpu_s"]
            if self._cpu_s is None or event["cpu_s"] - self._cpu_s >= _CPU_STEP_S:
                self._cpu_s, self._worked = event["cpu_s"], now

    def verdict(self, now: float) -> str | None:
        """Why the process is given up, or None."""
        if self.memory_bytes is not None and self.rss > self.memory_bytes:
            return f"it grew to {self.rss / 1e9:.1f} GB of memory, and {self.memory_bytes / 1e9:.1f} GB is its limit"
        if now - self._heard > min(SILENT_S, self.stall_s):
            return f"the Whisper process said nothing for {now - self._heard:.0f} s"
        if self._cpu_s is not None and now - self._worked > min(IDLE_S, self.stall_s):
            return f"the Whisper process did nothing for {now - self._worked:.0f} s"
        limit = min(limit_s(self.audio_s, self._slowest_s), self.stall_s)
        stood_s = now - self._progressed
        # A process that others leave no CPU is slow, not stuck: it has to have had its time, or a quarter of an hour.
        starved = self._cpu_s is not None and self._cpu_s - self._cpu_then < limit and stood_s <= MOST_S
        if stood_s > limit and not starved:
            return f"it stood at {self._done_s:.0f} s of the audio for {now - self._progressed:.0f} s"
        return None
