"""What runs the stages is to the rest: a Protocol with two implementations, `local` and `queue`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Report = Callable[[str, int, str], None]
"""(stage, episode id, outcome), called as each step ends; outcome `start` as it begins."""


class Engine(Protocol):
    """Runs `engine.step` for every episode that waits. The waiting set is in the database, never here."""

    def run(self, *, until_idle: bool) -> None:
        """Work until nothing is left that may run now, or until `stop`. Raises DatabaseAwayError."""
        ...

    def wake(self) -> None:
        """Look for work now. From any thread."""
        ...

    def stop(self) -> None:
        """Take up nothing new; what is in flight ends first. From any thread, or a signal handler."""
        ...
