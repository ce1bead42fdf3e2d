"""One GPU, two models: whose turn it is, so that the day's digest meets its hour. Pure.

An episode has to be heard (Whisper) and then written (the language model) to be in a digest. Only one of the two is in
the GPU's memory, and changing takes time. So each turn is long, ends early enough that what was heard can be written
before the hour, and the GPU is never idle while anything waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Turn = Literal["hear", "write"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast this GPU is: seconds for a second of audio, for writing an episode, for changing models once."""

    hear: float = 0.05
    write_s: float = 60.0
    switch_s: float = 30.0
    margin_s: float = 600.0
    """Kept free before the hour: the digest itself, and what takes longer than the middle one."""
    turn_s: float = 3600.0
    """After so long of one turn the other one has one, when somebody waits for it: nobody waits a whole day."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """`audio_s` of each episode that waits to be heard, in its order; episodes heard and not written; seconds until the
    next digest (None: nobody gets one); whose turn it is, and for how many seconds it has been."""

    audio_s: Sequence[float]
    heard: int
    deadline_s: float | None
    turn: Turn
    lasted_s: float = 0.0


def decide(w: Waiting, pace: Pace) -> Turn:
    """Whose turn it is next, looked at whenever an episode ends. The same one again costs nothing."""
    if not w.audio_s and not w.heard:
        return w.turn
    if not w.audio_s:
        return "write"
    if not w.heard:
        return "hear"
    free = None if w.deadline_s is None else w.deadline_s - pace.margin_s
    next_s = w.audio_s[0] * pace.hear
    if w.turn == "hear":
        if free is not None and free > 0:
            # One more is heard only if it, and all that is heard already, can still be written in time ...
            if next_s + pace.switch_s + (w.heard + 1) * pace.write_s <= free:
                return _unless_long(w, pace)
            # ... else those that can be are written now, so long as any can be.
            return "write" if pace.switch_s + pace.write_s <= free else _unless_long(w, pace)
        return _unless_long(w, pace)
    if free is not None and free > 0:
        # Going back to hear is worth two changes only if one more makes it, with all that are heard.
        more = pace.switch_s + next_s + pace.switch_s + (w.heard + 1) * pace.write_s
        if more > free and pace.write_s <= free:
            return "write"
    return _unless_long(w, pace)


def _unless_long(w: Waiting, pace: Pace) -> Turn:
    """The same one, or the other one when this one has had long enough (a turn is worth ten changes at least)."""
    if w.lasted_s < max(pace.turn_s, 10 * pace.switch_s):
        return w.turn
    return "write" if w.turn == "hear" else "hear"
