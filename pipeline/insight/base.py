"""What every writer of insights is to the rest: a transcript in, findings out."""

from __future__ import annotations

from typing import Protocol

from pipeline.records import EpisodeContext, Findings, Origin, Transcript


class Writer(Protocol):
    """Finds the insights of one episode. The transcript is untrusted text: nothing in it is an instruction."""

    @property
    def origin(self) -> Origin:
        """Which writer this is, exactly; stored beside each insight."""
        ...

    def find(self, transcript: Transcript, context: EpisodeContext) -> Findings:
        """Every passage with a score 0..1, and the insights, best first.

        Raises WaitingError when what it needs (a served model) is away, ConfigError when it cannot work as set up.
        """
        ...
