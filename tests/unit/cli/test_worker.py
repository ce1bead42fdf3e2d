"""A worker sweeps what other machines have made superfluous, and a sweep that fails stops nothing."""

from __future__ import annotations

import threading

from pipeline.cli.worker import sweeping


def test_it_sweeps_until_it_ends() -> None:
    swept, twice = [], threading.Event()

    def sweep() -> None:
        swept.append(1)
        if len(swept) == 2:
            twice.set()
        raise OSError("the disk is away")

    with sweeping(sweep, 0.01):
        assert twice.wait(20)
    n = len(swept)
    assert not [t for t in threading.enumerate() if t.name == "sweep"] and len(swept) == n
