"""Workers of different queues on hosts that share a database and nothing else.

The second host is a mount namespace in which the data folder is an empty disk of its own, under the same name: what the
first one stores there does not exist for it. They share this machine's network.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.arena import Arena
from tests.faults.world import Mails, Publishers, postgres

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.xdist_group("faults")]
PARTS = {
    "clock": ("clock",),
    "one host": ("worker", "--queue=poll", "--queue=download"),
    "the other": ("worker", "--queue=transcribe", "--queue=extract", "--queue=relate", "--queue=digest"),
}
OTHER_DISK = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=32m,mode=700 none "$0" && exec "$@"']


def test_what_one_host_downloads_the_other_transcribes(tmp_path: Path) -> None:
    probe = [*OTHER_DISK, str(tmp_path), "true"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine gives a process no disk of its own (unshare --mount)")
    with postgres() as server, Publishers() as pubs, Mails() as mails:
        a = Arena(tmp_path, server, server.new("hosts"), pubs, mails, 0.02, parts=PARTS)
        a.under = {"the other": [*OTHER_DISK, str(a.data)]}
        a.call("db", "upgrade")
        a.follow()
        with a.up():
            row = a.phase("two hosts", 6, 2, None, 300)
            assert (row.done, row.lost, row.mails, row.twice, row.repeated) == (6, 0, 2, 0, 0)
            # Each has fetched the audio. The one that transcribes deletes its copy, the other one sweeps.
            assert len(list((a.data / "audio").iterdir())) == 6
            there = Path(f"/proc/{a.running['the other'].pid}/root{a.data}/audio")
            assert list(there.iterdir()) == []
            a.verify()
