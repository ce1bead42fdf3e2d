"""What scripted models say through the fake server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Says:
    """The same for each prompt, or what a function of the prompt gives."""

    text: str | Callable[[str], str] = "{}"
    leaning: float | Callable[[str], float] = 3.0

    def write(self, prompt: str) -> str:
        return self.text(prompt) if callable(self.text) else self.text

    def lean(self, prompt: str) -> float:
        return self.leaning(prompt) if callable(self.leaning) else self.leaning


@dataclass
class Writes:
    """A model that writes given insights wherever it is asked for some, and answers questions by a rule.

    `insights` are objects as the schema wants them; each is offered once, with the first part that holds all of its
    evidence. `no` are texts: a question whose prompt carries one of them is answered with No. No two are the same.
    """

    insights: list[dict[str, Any]]
    no: tuple[str, ...] = ()
    leaning: Callable[[str], float] | None = None
    offered: set[int] = field(default_factory=set)

    def write(self, prompt: str) -> str:
        mine = []
        for k, insight in enumerate(self.insights):
            if k not in self.offered and all(f"\n[{n}] " in prompt for n in insight["evidence"]):
                self.offered.add(k)
                mine.append(insight)
        return json.dumps({"insights": mine})

    def lean(self, prompt: str) -> float:
        if any(text in prompt for text in self.no):
            return -6.0
        if self.leaning:
            return self.leaning(prompt)
        return -4.0 if "\nDo both say the same?\n\nAnswer" in prompt else 4.0
