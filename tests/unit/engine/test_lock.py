"""One process a data folder."""

import os
from pathlib import Path

import pytest

from pipeline.engine.lock import only_one
from pipeline.errors import UsageError


def test_a_second_one_is_refused_with_the_pid(tmp_path: Path) -> None:
    with only_one(tmp_path):
        with pytest.raises(UsageError, match=str(os.getpid())):
            with only_one(tmp_path):
                pass
    with only_one(tmp_path):
        pass
